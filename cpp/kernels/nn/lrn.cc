// LRN: out[c] = in[c] * (bias + alpha * sum of in[i]^2 over |i - c| <= depth_radius)^-beta, per pixel. float32.
#include <cmath>

#include "kernels/select.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(LRN_f32)
namespace {

struct LrnParams {
  int64_t rows = 0;
  int64_t depth = 0;
  int64_t radius = 0;
  float bias = 0;
  float alpha = 0;
  float beta = 0;
};

void LrnRow(const LrnParams& p, const float* in, float* out) {
  for (int64_t c = 0; c < p.depth; ++c) {
    const int64_t begin = c < p.radius ? 0 : c - p.radius;
    const int64_t end = p.depth - c <= p.radius ? p.depth : c + p.radius + 1;
    float sum = 0;
    for (int64_t i = begin; i < end; ++i) sum += in[i] * in[i];
    out[c] = in[c] * std::pow(p.bias + p.alpha * sum, -p.beta);
  }
}

}  // namespace

WHERRY_PREPARE(LRN_f32) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(1, 1));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputType(0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(0, 4));
  const Tensor& in = context.input(0);
  if (!in.SameShape(context.output(0))) return context.Fail(Code::kCorrupt, "output and input differ in shape");
  const Attributes& attrs = context.attrs();
  const int64_t radius = attrs.Int("depth_radius", 5);
  if (radius < 0) return context.Fail(Code::kCorrupt, "depth_radius must not be negative");
  const int64_t depth = in.dim(3);
  context.params<LrnParams>() = {depth == 0 ? 0 : in.count() / depth,
                                 depth,
                                 radius < depth ? radius : depth,
                                 static_cast<float>(attrs.Float("bias", 1)),
                                 static_cast<float>(attrs.Float("alpha", 1)),
                                 static_cast<float>(attrs.Float("beta", 0.5))};
  return Status::Ok();
}

WHERRY_RUN(LRN_f32) {
  const LrnParams& p = context.params<LrnParams>();
  const float* in = context.input(0).as<const float>();
  float* out = context.output(0).as<float>();
  context.threads().ForRange(p.rows, 1 + 1024 / (p.depth + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) LrnRow(p, in + r * p.depth, out + r * p.depth);
  });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
