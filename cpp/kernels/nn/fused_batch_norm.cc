// FusedBatchNorm and its V2 and V3 as in inference: y = (x - mean) * (scale / sqrt(variance + epsilon)) + offset.
//
// Channels last, float32. Inputs x, scale, offset, mean, variance. Outputs after y are those of TensorFlow on CPUs:
// mean, variance, mean, variance and an empty one; a step may have fewer, and those that nobody wants get nothing.
#include <cmath>
#include <cstring>

#include "kernels/select.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(FusedBatchNorm_f32)
namespace {

struct BatchNormParams {
  int64_t rows = 0;
  int64_t channels = 0;
  float epsilon = 0;
};

constexpr int64_t kBatchNormGrain = 16384;  // elements that are worth a thread of their own

// Works in place.
void NormalizeRow(const float* in, const float* __restrict mean, const float* __restrict factor,
                  const float* __restrict offset, float* out, int64_t channels) {
  for (int64_t c = 0; c < channels; ++c) out[c] = (in[c] - mean[c]) * factor[c] + offset[c];
}

}  // namespace

WHERRY_PREPARE(FusedBatchNorm_f32) {
  if (context.num_inputs() != 5 || context.num_outputs() < 1 || context.num_outputs() > 6) {
    return context.Fail(Code::kCorrupt, "needs 5 inputs and 1 to 6 outputs");
  }
  for (int i = 0; i < 5; ++i) WHERRY_RETURN_IF_ERROR(context.ExpectInputType(i, DType::kF32));
  for (int i = 0; i < context.num_outputs(); ++i) WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(i, DType::kF32));
  const Attributes& attrs = context.attrs();
  if (attrs.Bool("is_training", true)) return context.Fail(Code::kCorrupt, "is_training must be false");
  const StringView format = attrs.String("data_format", "NHWC");
  if (!(format == StringView("NHWC")) && !(format == StringView("NDHWC"))) {
    return context.Fail(Code::kCorrupt, "channels must come last");
  }
  const Tensor& x = context.input(0);
  if (x.rank < 1 || !x.SameShape(context.output(0))) {
    return context.Fail(Code::kCorrupt, "output and input differ in shape");
  }
  if (!context.output(0).wanted() && x.count() > 0) return context.Fail(Code::kCorrupt, "output 0 has no place");
  const int64_t channels = x.dim(x.rank - 1);
  const auto has_channels = [channels](const Tensor& t) { return t.rank == 1 && t.dim(0) == channels; };
  for (int i = 1; i < 5; ++i) {
    if (!has_channels(context.input(i))) return context.Fail(Code::kCorrupt, "input %d is not one per channel", i);
  }
  for (int i = 1; i < context.num_outputs(); ++i) {
    const Tensor& output = context.output(i);
    if (output.wanted() && (i == 5 || !has_channels(output))) {
      return context.Fail(Code::kCorrupt, "output %d has the wrong shape", i);
    }
  }
  context.params<BatchNormParams>() = {channels == 0 ? 0 : x.count() / channels, channels,
                                       static_cast<float>(attrs.Float("epsilon", 1e-4))};
  context.RequestScratch(static_cast<uint64_t>(channels) * sizeof(float));
  context.AllowUnusedOutputs();
  return Status::Ok();
}

WHERRY_RUN(FusedBatchNorm_f32) {
  const BatchNormParams& p = context.params<BatchNormParams>();
  const float* scale = context.input(1).as<const float>();
  const float* offset = context.input(2).as<const float>();
  const float* mean = context.input(3).as<const float>();
  const float* variance = context.input(4).as<const float>();
  for (int i = 1; i < context.num_outputs(); ++i) {
    const Tensor& output = context.output(i);
    if (output.wanted()) std::memcpy(output.data, i % 2 == 1 ? mean : variance, output.bytes);
  }
  if (p.channels == 0) return Status::Ok();
  float* factor = reinterpret_cast<float*>(context.scratch());
  for (int64_t c = 0; c < p.channels; ++c) factor[c] = scale[c] / std::sqrt(variance[c] + p.epsilon);
  const float* in = context.input(0).as<const float>();
  float* out = context.output(0).as<float>();
  context.threads().ForRange(p.rows, 1 + kBatchNormGrain / p.channels, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      NormalizeRow(in + r * p.channels, mean, factor, offset, out + r * p.channels, p.channels);
    }
  });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
