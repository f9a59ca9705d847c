// Conv2D, float32, NHWC: the product of the image's patches and the filter, with a fused bias and activation.
// FusedConv2DAdd adds another tensor (a residual connection) after the bias: its inputs are image, filter, bias, residual.
//
// The filter is a weight [kh, kw, in, out] in panels. When it has fewer inputs than the image has channels, the
// convolution is grouped: group g of the outputs sees group g of the channels only.
#include "kernels/nn/conv_2d.h"

#include <algorithm>

#include "kernels/panels.h"
#include "kernels/select.h"
#include "math/winograd.h"

namespace wherry::kernels {
namespace {

struct ConvParams {
  Window window;
  int64_t groups = 1;
  math::GemmPlan plan;  // of the whole, when there is one group
  math::WinogradPlan winograd;  // takes its place unless its tile is 0
  Fused fused;
};

math::WinogradConv WinogradOf(const KernelContext& context, const Window& window) {
  const Tensor& image = context.input(0);
  return {PatchesOf(image, window, 0, image.dim(3)), image.dim(0), context.output(0).dim(3)};
}

Status PrepareConv(PrepareContext& context, WeightFormat format, bool adds_residual = false) {
  ConvParams& params = context.params<ConvParams>();
  params = ConvParams();
  ConvShape shape;
  WHERRY_RETURN_IF_ERROR(ReadConvShape(context, &shape));
  params.window = shape.window;
  params.groups = shape.groups;
  WHERRY_RETURN_IF_ERROR(CheckPanels(context, 1, format, shape.k, shape.outputs));
  WHERRY_RETURN_IF_ERROR(adds_residual ? ReadFusedAdd(context, 2, shape.outputs, &params.fused)
                                       : ReadFused(context, 2, shape.outputs, &params.fused));
  params.plan = math::PlanGemm(shape.rows, shape.k, 0, shape.outputs, format != WeightFormat::kPlain, context.isa(),
                               context.num_threads(), adds_residual);
  context.RequestScratch(GemmScratchBytes(params.plan, context.num_threads()));
  const math::WinogradConv conv = WinogradOf(context, params.window);
  if (params.groups == 1) {
    params.winograd =
        math::PlanWinograd(conv, format != WeightFormat::kPlain, context.isa(), context.num_threads());
  }
  if (params.winograd.tile != 0) {
    context.RequestScratch(math::WinogradScratch(params.winograd, conv) * static_cast<size_t>(context.num_threads()));
  }
  return Status::Ok();
}

void RunWinograd(const RunContext& context, const math::WinogradPlan& plan, const math::WinogradConv& conv,
                 const math::PanelMatrix& filter, const math::Epilogue& epilogue, float* out) {
  const size_t bytes = math::WinogradScratch(plan, conv);
  int64_t in_scratch[ThreadPool::kMaxThreads];
  std::fill_n(in_scratch, ThreadPool::kMaxThreads, -1);
  context.threads().ForEach(math::WinogradTasks(plan, conv), [&](int64_t task, int worker) {
    math::RunWinogradTask(plan, conv, filter, epilogue, out, task,
                          context.scratch() + bytes * static_cast<size_t>(worker), &in_scratch[worker]);
  });
}

Status RunConv(RunContext& context, math::DequantizePanel dequantize) {
  const ConvParams& params = context.params<ConvParams>();
  const Tensor& image = context.input(0);
  const int64_t depth = context.input(1).dim(2);
  const int64_t outputs = context.input(1).dim(3);
  const math::PanelMatrix filter = PanelsOf(context.input(1), params.plan.k, outputs, dequantize);
  const math::Epilogue epilogue = EpilogueOf(context, params.fused, 2);
  float* out = context.output(0).as<float>();
  if (params.winograd.tile != 0) {
    RunWinograd(context, params.winograd, WinogradOf(context, params.window), filter, epilogue, out);
    return Status::Ok();
  }
  const math::CopyRows copy = math::PatchCopier(context.isa());
  if (params.groups == 1) {
    const math::Patches patches = PatchesOf(image, params.window, 0, depth);
    const math::RowSource rows = IsPointwise(params.window)
                                     ? math::RowSource::Matrix(image.as<const float>(), depth)
                                     : math::RowSource::Made(copy, &patches);
    RunGemm(context, params.plan, rows, filter, epilogue, out, outputs, context.scratch());
    return Status::Ok();
  }
  const int64_t group_outputs = outputs / params.groups;
  context.threads().ForEach(params.groups, [&](int64_t group, int worker) {
    const math::GemmPlan plan =
        math::PlanGemm(params.plan.m, params.plan.k, group * group_outputs, (group + 1) * group_outputs,
                       params.plan.dequantizes, context.isa(), 1, params.fused.has_residual);
    const math::Patches patches = PatchesOf(image, params.window, group, depth);
    for (int64_t task = 0; task < plan.tasks(); ++task) {
      math::RunGemmTask(plan, math::RowSource::Made(copy, &patches), filter, epilogue, out, outputs, task,
                        context.scratch() + plan.scratch_bytes * static_cast<size_t>(worker));
    }
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(Conv2D_f32_wf32)
WHERRY_PREPARE(Conv2D_f32_wf32) { return PrepareConv(context, WeightFormat::kPlain); }
WHERRY_RUN(Conv2D_f32_wf32) { return RunConv(context, nullptr); }
#endif

#if WHERRY_SELECTED(Conv2D_f32_wf16)
WHERRY_PREPARE(Conv2D_f32_wf16) { return PrepareConv(context, WeightFormat::kFloat16); }
WHERRY_RUN(Conv2D_f32_wf16) { return RunConv(context, math::Float16Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(Conv2D_f32_wi8)
WHERRY_PREPARE(Conv2D_f32_wi8) { return PrepareConv(context, WeightFormat::kInt8); }
WHERRY_RUN(Conv2D_f32_wi8) { return RunConv(context, math::Int8Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(Conv2D_f32_wmm)
WHERRY_PREPARE(Conv2D_f32_wmm) { return PrepareConv(context, WeightFormat::kMinMax); }
WHERRY_RUN(Conv2D_f32_wmm) { return RunConv(context, math::MinMaxPanels(context.isa())); }
#endif

#if WHERRY_SELECTED(FusedConv2DAdd_f32_wf32)
WHERRY_PREPARE(FusedConv2DAdd_f32_wf32) { return PrepareConv(context, WeightFormat::kPlain, true); }
WHERRY_RUN(FusedConv2DAdd_f32_wf32) { return RunConv(context, nullptr); }
#endif

#if WHERRY_SELECTED(FusedConv2DAdd_f32_wf16)
WHERRY_PREPARE(FusedConv2DAdd_f32_wf16) { return PrepareConv(context, WeightFormat::kFloat16, true); }
WHERRY_RUN(FusedConv2DAdd_f32_wf16) { return RunConv(context, math::Float16Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(FusedConv2DAdd_f32_wi8)
WHERRY_PREPARE(FusedConv2DAdd_f32_wi8) { return PrepareConv(context, WeightFormat::kInt8, true); }
WHERRY_RUN(FusedConv2DAdd_f32_wi8) { return RunConv(context, math::Int8Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(FusedConv2DAdd_f32_wmm)
WHERRY_PREPARE(FusedConv2DAdd_f32_wmm) { return PrepareConv(context, WeightFormat::kMinMax, true); }
WHERRY_RUN(FusedConv2DAdd_f32_wmm) { return RunConv(context, math::MinMaxPanels(context.isa())); }
#endif

}  // namespace wherry::kernels
