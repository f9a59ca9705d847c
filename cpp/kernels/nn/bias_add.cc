// BiasAdd, float32: adds one value to each channel. Channels are the last dimension, or dimension 1 when data_format
// is NCHW.
#include "kernels/select.h"
#include "kernels/shape.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(BiasAdd_f32)
namespace {

struct BiasAddParams {
  int64_t outer = 0;     // runs of `channels` groups
  int64_t channels = 0;
  int64_t inner = 0;     // consecutive elements with the same channel
};

constexpr int64_t kBiasAddGrain = 32768;  // elements that are worth a thread of their own

}  // namespace

WHERRY_PREPARE(BiasAdd_f32) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 1, DType::kF32));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(1, 1));
  const Tensor& in = context.input(0);
  if (in.rank < 2) return context.Fail(Code::kCorrupt, "input 0 must have rank 2 or more");
  if (!in.SameShape(context.output(0))) return context.Fail(Code::kCorrupt, "output and input differ in shape");
  const bool first = context.attrs().String("data_format", "NHWC") == StringView("NCHW");
  const int axis = first ? 1 : in.rank - 1;
  if (context.input(1).dim(0) != in.dim(axis)) {
    return context.Fail(Code::kCorrupt, "bias must have %lld values", static_cast<long long>(in.dim(axis)));
  }
  BiasAddParams params = {1, in.dim(axis), 1};
  for (int i = 0; i < axis; ++i) params.outer *= in.dim(i);
  for (int i = axis + 1; i < in.rank; ++i) params.inner *= in.dim(i);
  context.params<BiasAddParams>() = params;
  return Status::Ok();
}

// Works in place.
WHERRY_RUN(BiasAdd_f32) {
  const BiasAddParams& p = context.params<BiasAddParams>();
  const float* in = context.input(0).as<const float>();
  const float* bias = context.input(1).as<const float>();
  float* out = context.output(0).as<float>();
  const int64_t row = p.channels * p.inner;
  if (row == 0) return Status::Ok();
  context.threads().ForRange(p.outer, 1 + kBiasAddGrain / row, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const float* from = in + i * row;
      float* to = out + i * row;
      if (p.inner == 1) {
        for (int64_t c = 0; c < row; ++c) to[c] = from[c] + bias[c];
        continue;
      }
      for (int64_t c = 0; c < p.channels; ++c) {
        for (int64_t j = c * p.inner; j < (c + 1) * p.inner; ++j) to[j] = from[j] + bias[c];
      }
    }
  });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
