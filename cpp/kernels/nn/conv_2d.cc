// Conv2D, float32, NHWC: the product of the image's patches and the filter, with a fused bias and activation.
// FusedConv2DAdd adds another tensor (a residual connection) after the bias: its inputs are image, filter, bias, residual.
//
// The filter is a weight [kh, kw, in, out] in panels. When it has fewer inputs than the image has channels, the
// convolution is grouped: group g of the outputs sees group g of the channels only.
//
// Keys with hf16 multiply halves where the CPU can, and keys with sf32 float32 weights in whole numbers of 16 bits, but for
// groups and for what Winograd's transforms do faster.
#include "kernels/nn/conv_2d.h"

#include <algorithm>

#include "kernels/halves.h"
#include "kernels/panels.h"
#include "kernels/select.h"
#include "kernels/shorts.h"
#include "math/winograd.h"

namespace wherry::kernels {
namespace {

struct ConvParams {
  Window window;
  int64_t groups = 1;
  math::GemmPlan plan;  // of the whole, when there is one group
  math::WinogradPlan winograd;  // takes its place unless its tile is 0
  float half_limit = 0.0F;      // unless 0, `plan` is one of halves
  float step = 0.0F;            // unless 0, whole numbers are multiplied
  Fused fused;
};

math::WinogradConv WinogradOf(const KernelContext& context, const Window& window) {
  const Tensor& image = context.input(0);
  return {PatchesOf(image, window, 0, image.dim(3)), image.dim(0), context.input(1).dim(3), context.output(0).dim(3),
          RowStride(context)};
}

Status PrepareConv(PrepareContext& context, WeightFormat format, bool adds_residual = false) {
  ConvParams& params = context.params<ConvParams>();
  params = ConvParams();
  ConvShape shape;
  WHERRY_RETURN_IF_ERROR(ReadConvShape(context, &shape));
  context.AllowPitch(1, adds_residual ? 0 : 1);  // a residual is laid out like the output
  params.window = shape.window;
  params.groups = shape.groups;
  WHERRY_RETURN_IF_ERROR(CheckPanels(context, 1, format, shape.k, shape.outputs));
  WHERRY_RETURN_IF_ERROR(adds_residual ? ReadFusedAdd(context, 2, shape.outputs, &params.fused)
                                       : ReadFused(context, 2, shape.outputs, &params.fused));
  params.fused.first_column = shape.first_output;
  params.plan = math::PlanGemm(shape.rows, shape.k, 0, shape.outputs, format != WeightFormat::kPlain, context.isa(),
                               context.num_threads(), adds_residual);
  context.RequestScratch(GemmScratchBytes(params.plan, context.num_threads()));
  const math::WinogradConv conv = WinogradOf(context, params.window);
  if (params.groups == 1) {
    params.winograd = math::PlanWinograd(conv, format != WeightFormat::kPlain, context.isa(), context.num_threads(),
                                         context.scratch_limit());
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
  float* out = ColumnsOut<float>(context, params.fused);
  if (params.winograd.tile != 0) {
    RunWinograd(context, params.winograd, WinogradOf(context, params.window), filter, epilogue, out);
    return Status::Ok();
  }
  const math::CopyRows copy = math::PatchCopier(context.isa());
  if (params.groups == 1) {
    const math::Patches patches = PatchesOf(image, params.window, 0, depth);
    const math::RowSource rows = IsPointwise(params.window)
                                     ? math::RowSource::Matrix(image.as<const float>(), image.pitch)
                                     : math::RowSource::Made(copy, &patches);
    RunGemm(context, params.plan, rows, filter, epilogue, out, RowStride(context), context.scratch());
    return Status::Ok();
  }
  const int64_t group_outputs = outputs / params.groups;
  context.threads().ForEach(params.groups, [&](int64_t group, int worker) {
    const math::GemmPlan plan =
        math::PlanGemm(params.plan.m, params.plan.k, group * group_outputs, (group + 1) * group_outputs,
                       params.plan.dequantizes, context.isa(), 1, params.fused.has_residual);
    const math::Patches patches = PatchesOf(image, params.window, group, depth);
    for (int64_t task = 0; task < plan.tasks(); ++task) {
      math::RunGemmTask(plan, math::RowSource::Made(copy, &patches), filter, epilogue, out, RowStride(context), task,
                        context.scratch() + plan.scratch_bytes * static_cast<size_t>(worker));
    }
  });
  return Status::Ok();
}

// Halves, and shorts, multiply twice as fast as floats. Winograd's transforms take so much of what they save that they have
// to save 3.5 times the multiplies to be faster: 4 times, with a tile of 4, where the image is not much smaller than its
// tiles.
[[maybe_unused]] bool BeatsHalves(const math::WinogradPlan& plan, const Window& window) {
  if (plan.tile == 0) return false;
  const auto tiles = [&](const WindowAxis& axis) { return (axis.out + plan.tile - 1) / plan.tile; };
  const int64_t multiplies = tiles(window.h) * tiles(window.w) * (plan.tile + 2) * (plan.tile + 2);
  return 2 * 9 * window.h.out * window.w.out >= 7 * multiplies;
}

// The image as a matrix of patches. patches: where they are described.
[[maybe_unused]] math::RowSource RowsOf(const RunContext& context, const ConvParams& params, math::Patches* patches) {
  const Tensor& image = context.input(0);
  if (IsPointwise(params.window)) return math::RowSource::Matrix(image.as<const float>(), image.pitch);
  *patches = PatchesOf(image, params.window, 0, image.dim(3));
  return math::RowSource::Made(math::PatchCopier(context.isa()), patches);
}

[[maybe_unused]] Status PrepareHalves(PrepareContext& context, bool adds_residual) {
  float limit = 0.0F;
  WHERRY_RETURN_IF_ERROR(ReadHalfLimit(context, &limit));
  WHERRY_RETURN_IF_ERROR(PrepareConv(context, WeightFormat::kFloat16, adds_residual));
  ConvParams& params = context.params<ConvParams>();
  if (!math::MultipliesHalves(context.isa()) || params.groups != 1) return Status::Ok();
  if (BeatsHalves(params.winograd, params.window)) return Status::Ok();
  params.winograd = math::WinogradPlan();
  params.half_limit = limit;
  params.plan = math::PlanHalfGemm(params.plan.m, params.plan.k, params.plan.column_end, context.isa(),
                                   context.num_threads());
  context.RequestScratch(GemmScratchBytes(params.plan, context.num_threads()));
  return Status::Ok();
}

[[maybe_unused]] Status RunHalves(RunContext& context) {
  const ConvParams& params = context.params<ConvParams>();
  if (params.half_limit == 0.0F) return RunConv(context, math::Float16Panels(context.isa()));
  math::Patches patches;
  const math::RowSource rows = RowsOf(context, params, &patches);
  RunHalfGemm(context, params.plan, rows, params.half_limit,
              PanelsOf(context.input(1), params.plan.k, params.plan.column_end, nullptr),
              EpilogueOf(context, params.fused, 2), ColumnsOut<float>(context, params.fused), RowStride(context),
              context.scratch());
  return Status::Ok();
}

[[maybe_unused]] math::ShortGemmPlan PlanShorts(const ConvParams& params, int threads, const math::ShortRows& rows) {
  return math::PlanShortGemm(params.plan.m, params.plan.k, params.plan.column_end, params.plan.isa, threads,
                             rows.patches);
}

// The image as a matrix, or as one of patches. patches: where they are described.
[[maybe_unused]] math::ShortRows ShortRowsOf(const Tensor& image, const Window& window, math::Patches* patches) {
  if (IsPointwise(window)) return {image.as<const float>(), image.pitch, nullptr};
  *patches = PatchesOf(image, window, 0, image.dim(3));
  return {nullptr, 0, patches};
}

[[maybe_unused]] Status PrepareShorts(PrepareContext& context, bool adds_residual) {
  float step = 0.0F;
  WHERRY_RETURN_IF_ERROR(ReadStep(context, &step));
  WHERRY_RETURN_IF_ERROR(PrepareConv(context, WeightFormat::kPlain, adds_residual));
  ConvParams& params = context.params<ConvParams>();
  if (params.groups != 1 || !math::MultipliesShorts(context.isa(), params.plan.k, params.plan.column_end)) {
    return Status::Ok();
  }
  if (BeatsHalves(params.winograd, params.window)) return Status::Ok();
  params.winograd = math::WinogradPlan();
  params.step = step;
  math::Patches patches;
  const math::ShortRows rows = ShortRowsOf(context.input(0), params.window, &patches);
  const int threads = context.num_threads();
  context.RequestScratch(ShortScratchBytes(PlanShorts(params, threads, rows), threads));
  return Status::Ok();
}

[[maybe_unused]] Status RunShorts(RunContext& context) {
  const ConvParams& params = context.params<ConvParams>();
  if (params.step == 0.0F) return RunConv(context, nullptr);
  math::Patches patches;
  const math::ShortRows rows = ShortRowsOf(context.input(0), params.window, &patches);
  RunShortGemm(context, PlanShorts(params, context.num_threads(), rows), rows, params.step,
               PanelsOf(context.input(1), params.plan.k, params.plan.column_end, nullptr),
               EpilogueOf(context, params.fused, 2), ColumnsOut<float>(context, params.fused), RowStride(context),
               context.scratch());
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(Conv2D_f32_hf16)
WHERRY_PREPARE(Conv2D_f32_hf16) { return PrepareHalves(context, false); }
WHERRY_RUN(Conv2D_f32_hf16) { return RunHalves(context); }
#endif

#if WHERRY_SELECTED(FusedConv2DAdd_f32_hf16)
WHERRY_PREPARE(FusedConv2DAdd_f32_hf16) { return PrepareHalves(context, true); }
WHERRY_RUN(FusedConv2DAdd_f32_hf16) { return RunHalves(context); }
#endif

#if WHERRY_SELECTED(Conv2D_f32_sf32)
WHERRY_PREPARE(Conv2D_f32_sf32) { return PrepareShorts(context, false); }
WHERRY_RUN(Conv2D_f32_sf32) { return RunShorts(context); }
#endif

#if WHERRY_SELECTED(FusedConv2DAdd_f32_sf32)
WHERRY_PREPARE(FusedConv2DAdd_f32_sf32) { return PrepareShorts(context, true); }
WHERRY_RUN(FusedConv2DAdd_f32_sf32) { return RunShorts(context); }
#endif

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
