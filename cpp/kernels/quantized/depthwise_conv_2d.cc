// QLinearDepthwiseConv2d: DepthwiseConv2dNative of 8-bit codes with an 8-bit filter [kh, kw, channels, 1] in tap quads, in
// whole numbers, with a fused bias and activation.
#include "kernels/nn/fused.h"
#include "kernels/nn/window.h"
#include "kernels/quantized/scales.h"
#include "kernels/select.h"
#include "math/code_depthwise.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(QLinearDepthwiseConv2d_u8_wi8)
namespace {

struct QLinearDepthwiseParams {
  Window window;
  math::CodeScale in;
  math::CodeScale out;
  math::CodeLimits limits;
  bool has_bias;
};

constexpr int64_t kDepthwiseGrain = 150000;  // multiply-adds that are worth a thread of their own
constexpr int64_t kMostExtent = 1 << 16;     // pixels that a filter may span: no size below overflows

int64_t PaddedChannels(int64_t channels) {
  return (channels + math::kTapChannels - 1) / math::kTapChannels * math::kTapChannels;
}

math::CodeDepthwise ConvOf(const Window& window, int64_t channels) {
  math::CodeDepthwise conv;
  conv.window = window;
  conv.channels = channels;
  return conv;
}

// Scratch memory: start, multiplier and offset of each channel, then each thread's own.
size_t ArrayBytes(int64_t channels) { return static_cast<size_t>(PaddedChannels(channels)) * sizeof(float); }

}  // namespace

WHERRY_PREPARE(QLinearDepthwiseConv2d_u8_wi8) {
  QLinearDepthwiseParams& params = context.params<QLinearDepthwiseParams>();
  params = {};
  params.has_bias = context.num_inputs() == 3;
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(params.has_bias ? 3 : 2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kU8));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputType(1, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(1, 4));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kU8));
  const Tensor& filter = context.input(1);
  WHERRY_RETURN_IF_ERROR(PlanWindow(context, filter.dim(0), filter.dim(1), &params.window));
  const int64_t channels = filter.dim(2);
  if (channels < 1 || filter.dim(3) != 1 || context.input(0).dim(3) != channels ||
      context.output(0).dim(3) != channels) {
    return context.Fail(Code::kCorrupt, "channels of input, filter and output do not fit");
  }
  const WindowAxis* const axes[] = {&params.window.h, &params.window.w};
  for (const WindowAxis* axis : axes) {
    if ((axis->filter - 1) * axis->dilation >= kMostExtent || axis->stride >= kMostExtent) {
      return context.Fail(Code::kCorrupt, "the filter spans too many pixels");
    }
  }
  if (filter.dim(0) * filter.dim(1) > kMostExtent) return context.Fail(Code::kCorrupt, "the filter has too many taps");
  const int64_t bytes = PaddedChannels(channels) / math::kTapChannels * filter.dim(1) * ((filter.dim(0) + 3) / 4) *
                        math::kTapQuadBytes;
  if (filter.layout != Layout::kTapQuads || filter.quant.format != WeightFormat::kInt8 ||
      filter.bytes != static_cast<uint64_t>(bytes) || filter.quant.channels != channels) {
    return context.Fail(Code::kCorrupt, "the filter is not stored in tap quads of its size");
  }
  if (params.has_bias) WHERRY_RETURN_IF_ERROR(ExpectBias(context, 2, channels));
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kInputScale, &params.in));
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kOutputScale, &params.out));
  WHERRY_RETURN_IF_ERROR(ReadLimits(context, params.out, &params.limits));
  context.RequestScratch(3 * ArrayBytes(channels) + math::CodeDepthwiseScratch(ConvOf(params.window, channels)) *
                                                        static_cast<size_t>(context.num_threads()));
  return Status::Ok();
}

WHERRY_RUN(QLinearDepthwiseConv2d_u8_wi8) {
  const QLinearDepthwiseParams& params = context.params<QLinearDepthwiseParams>();
  const Tensor& filter = context.input(1);
  const int64_t channels = filter.dim(2);
  const float* const bias = params.has_bias ? context.input(2).as<const float>() : nullptr;
  auto* const start = reinterpret_cast<int32_t*>(context.scratch());
  auto* const multiplier = reinterpret_cast<float*>(context.scratch() + ArrayBytes(channels));
  auto* const offset = reinterpret_cast<float*>(context.scratch() + 2 * ArrayBytes(channels));
  const float inverse = 1.0F / params.out.scale;
  const float factor = params.in.scale * inverse;
  const float zero = static_cast<float>(params.out.zero);
  for (int64_t c = 0; c < PaddedChannels(channels); ++c) {
    const int64_t place = math::PlaceOfChannel(c);
    const bool there = c < channels;
    start[place] = there ? -params.in.zero * static_cast<int32_t>(filter.quant.offset[c]) : 0;
    multiplier[place] = there ? factor * filter.quant.scale[c] : 0.0F;
    offset[place] = there && bias != nullptr ? bias[c] * inverse + zero : zero;
  }
  math::CodeDepthwise conv = ConvOf(params.window, channels);
  conv.image = context.input(0).as<const uint8_t>();
  conv.filter = filter.as<const int8_t>();
  conv.start = start;
  conv.multiplier = multiplier;
  conv.offset = offset;
  conv.out = context.output(0).as<uint8_t>();
  conv.zero = static_cast<uint8_t>(params.in.zero);
  conv.lowest = params.limits.lowest;
  conv.highest = params.limits.highest;
  std::byte* const lines = context.scratch() + 3 * ArrayBytes(channels);
  const size_t line_bytes = math::CodeDepthwiseScratch(conv);
  const int64_t row_work = conv.window.w.out * channels * conv.window.h.filter * conv.window.w.filter;
  context.threads().ForRange(context.input(0).dim(0) * conv.window.h.out, 1 + kDepthwiseGrain / (row_work + 1),
                             [&](int64_t begin, int64_t end, int worker) {
                               math::RunCodeDepthwise(conv, begin, end, lines + line_bytes * static_cast<size_t>(worker),
                                                      context.isa());
                             });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
