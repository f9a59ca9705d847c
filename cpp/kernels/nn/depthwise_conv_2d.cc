// DepthwiseConv2dNative, float32, NHWC, with a fused bias and activation.
//
// The filter is a weight [kh, kw, channels, multiplier] in panels of [kh * kw, channels * multiplier]. Quantized filters
// are small, so they become float32 as a whole before the loops start.
#include "kernels/nn/fused.h"
#include "kernels/nn/window.h"
#include "kernels/panels.h"
#include "kernels/select.h"
#include "math/depthwise.h"

namespace wherry::kernels {
namespace {

struct DepthwiseParams {
  Window window;
  Fused fused;
};

constexpr int64_t kDepthwiseGrain = 100000;  // multiply-adds that are worth a thread of their own

Status PrepareDepthwise(PrepareContext& context, WeightFormat format) {
  DepthwiseParams& params = context.params<DepthwiseParams>();
  params = DepthwiseParams();
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(1, 4));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kF32));
  const Tensor& filter = context.input(1);
  WHERRY_RETURN_IF_ERROR(PlanWindow(context, filter.dim(0), filter.dim(1), &params.window));
  const int64_t outputs = filter.dim(2) * filter.dim(3);
  if (context.input(0).dim(3) != filter.dim(2) || context.output(0).dim(3) != outputs) {
    return context.Fail(Code::kCorrupt, "channels of input, filter and output do not fit");
  }
  const int64_t taps = filter.dim(0) * filter.dim(1);
  WHERRY_RETURN_IF_ERROR(CheckPanels(context, 1, format, taps, outputs, Layout::kPanels));
  WHERRY_RETURN_IF_ERROR(ReadFused(context, 2, outputs, &params.fused));
  if (format != WeightFormat::kPlain) {
    context.RequestScratch(static_cast<uint64_t>((outputs + kPanelWidth - 1) / kPanelWidth * kPanelWidth * taps) *
                           sizeof(float));
  }
  return Status::Ok();
}

Status RunDepthwise(RunContext& context, math::DequantizePanel dequantize) {
  const DepthwiseParams& params = context.params<DepthwiseParams>();
  const Window& window = params.window;
  const Tensor& image = context.input(0);
  const Tensor& filter = context.input(1);
  const int64_t taps = window.h.filter * window.w.filter;
  const int64_t outputs = filter.dim(2) * filter.dim(3);
  math::Depthwise conv;
  conv.filter = filter.as<const float>();
  if (dequantize != nullptr) {
    float* plain = reinterpret_cast<float*>(context.scratch());
    const math::PanelMatrix panels = PanelsOf(filter, taps, outputs, dequantize);
    for (int64_t panel = 0; panel < panels.panels(); ++panel) {
      dequantize(panels, panel, 0, taps, plain + panel * taps * kPanelWidth);
    }
    conv.filter = plain;
  }
  const math::Epilogue epilogue = EpilogueOf(context, params.fused, 2);
  conv.image = image.as<const float>();
  conv.bias = epilogue.bias;
  conv.out = context.output(0).as<float>();
  conv.window = window;
  conv.channels = filter.dim(2);
  conv.multiplier = filter.dim(3);
  conv.activation = epilogue.activation;
  conv.alpha = epilogue.alpha;
  const int64_t row_work = window.w.out * outputs * taps;
  context.threads().ForRange(image.dim(0) * window.h.out, 1 + kDepthwiseGrain / (row_work + 1),
                             [&](int64_t begin, int64_t end, int) {
                               math::RunDepthwise(conv, begin, end, context.isa());
                             });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(DepthwiseConv2dNative_f32_wf32)
WHERRY_PREPARE(DepthwiseConv2dNative_f32_wf32) { return PrepareDepthwise(context, WeightFormat::kPlain); }
WHERRY_RUN(DepthwiseConv2dNative_f32_wf32) { return RunDepthwise(context, nullptr); }
#endif

#if WHERRY_SELECTED(DepthwiseConv2dNative_f32_wf16)
WHERRY_PREPARE(DepthwiseConv2dNative_f32_wf16) { return PrepareDepthwise(context, WeightFormat::kFloat16); }
WHERRY_RUN(DepthwiseConv2dNative_f32_wf16) { return RunDepthwise(context, math::Float16Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(DepthwiseConv2dNative_f32_wi8)
WHERRY_PREPARE(DepthwiseConv2dNative_f32_wi8) { return PrepareDepthwise(context, WeightFormat::kInt8); }
WHERRY_RUN(DepthwiseConv2dNative_f32_wi8) { return RunDepthwise(context, math::Int8Taps(context.isa())); }
#endif

#if WHERRY_SELECTED(DepthwiseConv2dNative_f32_wmm)
WHERRY_PREPARE(DepthwiseConv2dNative_f32_wmm) { return PrepareDepthwise(context, WeightFormat::kMinMax); }
WHERRY_RUN(DepthwiseConv2dNative_f32_wmm) { return RunDepthwise(context, math::MinMaxPanels(context.isa())); }
#endif

}  // namespace wherry::kernels
