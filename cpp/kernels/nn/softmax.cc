// Softmax and LogSoftmax over the last dimension, float32.
//
// Every row is shifted by its largest element, so nothing overflows; sums are kept in double, in order.
#include <cmath>

#include "kernels/select.h"
#include "math/vectorize.h"
#include "math/vmath.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Softmax_f32) || WHERRY_SELECTED(LogSoftmax_f32)
namespace {

struct SoftmaxParams {
  int64_t rows = 0;
  int64_t depth = 0;
};

constexpr int64_t kSoftmaxGrain = 2048;  // exponentials that are worth a thread of their own

Status PrepareSoftmax(PrepareContext& context) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(1, 1));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputType(0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(0, DType::kF32));
  const Tensor& in = context.input(0);
  if (in.rank < 1) return context.Fail(Code::kCorrupt, "input must have rank 1 or more");
  if (!in.SameShape(context.output(0))) return context.Fail(Code::kCorrupt, "output and input differ in shape");
  const int64_t depth = in.dim(in.rank - 1);
  context.params<SoftmaxParams>() = {depth == 0 ? 0 : in.count() / depth, depth};
  return Status::Ok();
}

float Largest(const float* in, int64_t depth) {
  float largest = in[0];
  for (int64_t i = 1; i < depth; ++i) largest = in[i] > largest ? in[i] : largest;
  return largest;
}

// row(in, out, depth) for every row. Works in place.
template <typename Row>
Status RunSoftmax(RunContext& context, const Row& row) {
  const SoftmaxParams& p = context.params<SoftmaxParams>();
  if (p.depth == 0) return Status::Ok();
  const float* in = context.input(0).as<const float>();
  float* out = context.output(0).as<float>();
  context.threads().ForRange(p.rows, 1 + kSoftmaxGrain / p.depth, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) row(in + r * p.depth, out + r * p.depth, p.depth);
  });
  return Status::Ok();
}

}  // namespace
#endif

#if WHERRY_SELECTED(Softmax_f32)
WHERRY_PREPARE(Softmax_f32) { return PrepareSoftmax(context); }
WHERRY_RUN(Softmax_f32) {
  return RunSoftmax(context, [](const float* in, float* out, int64_t depth) {
    const float largest = Largest(in, depth);
    double sum = 0;
    WHERRY_VECTORIZE
    for (int64_t i = 0; i < depth; ++i) out[i] = math::Exp(in[i] - largest);
    for (int64_t i = 0; i < depth; ++i) sum += static_cast<double>(out[i]);
    const float inverse = static_cast<float>(1.0 / sum);
    for (int64_t i = 0; i < depth; ++i) out[i] *= inverse;
  });
}
#endif

#if WHERRY_SELECTED(LogSoftmax_f32)
WHERRY_PREPARE(LogSoftmax_f32) { return PrepareSoftmax(context); }
WHERRY_RUN(LogSoftmax_f32) {
  return RunSoftmax(context, [](const float* in, float* out, int64_t depth) {
    const float largest = Largest(in, depth);
    double sum = 0;
    for (int64_t i = 0; i < depth; ++i) sum += static_cast<double>(math::Exp(in[i] - largest));
    const float log_sum = static_cast<float>(std::log(sum));
    for (int64_t i = 0; i < depth; ++i) out[i] = (in[i] - largest) - log_sum;
  });
}
#endif

}  // namespace wherry::kernels
