// QLinearConv2d: Conv2D of 8-bit codes with an 8-bit filter [kh, kw, in, out] in quads, in whole numbers, with a fused bias
// and activation. QLinearConv2dAdd adds codes of the output's shape (a residual connection) before it rounds. One group.
#include "kernels/nn/conv_2d.h"
#include "kernels/quantized/product.h"
#include "kernels/select.h"

namespace wherry::kernels {
namespace {

struct QLinearConvParams {
  Window window;
  ProductCodes product;
  int64_t k;
};

[[maybe_unused]] Status PrepareQLinearConv(PrepareContext& context, bool adds) {
  if (context.num_inputs() < 2 || context.num_outputs() != 1) {
    return context.Fail(Code::kCorrupt, "needs an image, a filter and one output");
  }
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kU8));
  ConvShape shape;
  WHERRY_RETURN_IF_ERROR(ReadConvDims(context, &shape));
  if (shape.groups != 1) return context.Fail(Code::kCorrupt, "a grouped filter needs float arithmetic");
  WHERRY_RETURN_IF_ERROR(CheckQuads(context, 1, shape.k, shape.outputs));
  QLinearConvParams& params = context.params<QLinearConvParams>();
  WHERRY_RETURN_IF_ERROR(ReadProduct(context, shape.outputs, adds, &params.product));
  params.window = shape.window;
  params.k = shape.k;
  const bool made = !IsPointwise(shape.window) || !NeedNoCopy(shape.rows, shape.k);
  const auto plan = [&](bool thrifty) {
    params.product.plan =
        math::PlanCodeGemm(shape.rows, shape.k, shape.outputs, {}, made, context.isa(), context.num_threads(), thrifty);
    context.RequestScratch(CodeGemmScratchBytes(params.product.plan, context.num_threads()));
  };
  plan(false);
  if (context.scratch_bytes() > context.scratch_limit()) plan(true);
  return Status::Ok();
}

[[maybe_unused]] Status RunQLinearConv(RunContext& context) {
  const QLinearConvParams& params = context.params<QLinearConvParams>();
  const Tensor& image = context.input(0);
  if (params.product.plan.tasks() == 0) return Status::Ok();
  const math::QuadMatrix filter = QuadsOf(context.input(1), params.k, params.product.plan.n);
  math::CodeRows rows;
  rows.codes = image.as<const uint8_t>();
  rows.stride = params.k;
  if (IsPointwise(params.window)) {  // pixels are rows as they lie
    const math::PlainCodes plain = {rows.codes, params.k, params.k};
    rows.copy = &math::CopyPlainCodes;
    rows.source = &plain;
    RunProduct(context, params.product, rows, filter);
    return Status::Ok();
  }
  math::CodePatches patches;
  patches.patches = PatchesOf(image, params.window, 0, image.dim(3));
  patches.codes = rows.codes;
  patches.scales = &params.product.in;
  patches.scale_step = 0;
  rows.copy = math::CodePatchCopier(context.isa());
  rows.source = &patches;
  RunProduct(context, params.product, rows, filter);
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(QLinearConv2d_u8_wi8)
WHERRY_PREPARE(QLinearConv2d_u8_wi8) { return PrepareQLinearConv(context, false); }
WHERRY_RUN(QLinearConv2d_u8_wi8) { return RunQLinearConv(context); }
#endif

#if WHERRY_SELECTED(QLinearConv2dAdd_u8_wi8)
WHERRY_PREPARE(QLinearConv2dAdd_u8_wi8) { return PrepareQLinearConv(context, true); }
WHERRY_RUN(QLinearConv2dAdd_u8_wi8) { return RunQLinearConv(context); }
#endif

}  // namespace wherry::kernels
