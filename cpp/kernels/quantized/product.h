// What products and convolutions of 8-bit codes with 8-bit weights share: their attributes, bias and residual, and running
// them. The output has codes of a scale of its own, or is float32.
#ifndef WHERRY_KERNELS_QUANTIZED_PRODUCT_H_
#define WHERRY_KERNELS_QUANTIZED_PRODUCT_H_

#include "kernels/codes.h"
#include "kernels/nn/fused.h"
#include "kernels/quantized/scales.h"

namespace wherry::kernels {

struct ProductCodes {
  math::CodeGemmPlan plan;
  math::CodeScale in;
  math::CodeScale residual;
  math::CodeScale out;
  math::CodeLimits limits;
  Fused fused;
  bool gives_floats = false;
};

// Inputs: codes, weight, bias (may be missing when there is no residual), and the residual's codes.
inline Status ReadProduct(const PrepareContext& context, int64_t channels, bool adds, ProductCodes* product) {
  *product = ProductCodes();
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kU8));
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kInputScale, &product->in));
  product->gives_floats = context.num_outputs() == 1 && context.output(0).dtype == DType::kF32;
  if (product->gives_floats) {
    if (adds) return context.Fail(Code::kCorrupt, "a residual of codes needs an output of codes");
    WHERRY_RETURN_IF_ERROR(ReadFused(context, 2, channels, &product->fused));
    return ReadColumns(context, channels, &product->fused.first_column);
  }
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kU8));
  WHERRY_RETURN_IF_ERROR(ReadColumns(context, channels, &product->fused.first_column));
  product->fused.has_bias = adds || context.num_inputs() == 3;
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(adds ? 4 : product->fused.has_bias ? 3 : 2, 1));
  if (product->fused.has_bias) WHERRY_RETURN_IF_ERROR(ExpectBias(context, 2, channels));
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kOutputScale, &product->out));
  WHERRY_RETURN_IF_ERROR(ReadLimits(context, product->out, &product->limits));
  if (!adds) return Status::Ok();
  product->fused.has_residual = true;
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 3, DType::kU8));
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kOtherScale, &product->residual));
  return ExpectOutputShape(context, 0, context.input(3).shape());
}

// rows: its groups and scales are filled in here.
inline void RunProduct(const RunContext& context, const ProductCodes& product, math::CodeRows rows,
                       const math::QuadMatrix& weight) {
  rows.groups = product.plan.groups;
  rows.scales = &product.in;
  rows.rows_per_scale = product.plan.m;
  if (product.gives_floats) {
    RunCodeGemm(context, product.plan, rows, weight, EpilogueOf(context, product.fused, 2),
                ColumnsOut<float>(context, product.fused), RowStride(context), context.scratch());
    return;
  }
  math::CodeResult result;
  result.bias = product.fused.has_bias ? context.input(2).as<const float>() : nullptr;
  result.residual = product.fused.has_residual ? context.input(3).as<const uint8_t>() + product.fused.first_column : nullptr;
  result.residual_scale = product.residual;
  result.scale = product.out;
  result.limits = product.limits;
  result.c = ColumnsOut<uint8_t>(context, product.fused);
  result.ldc = RowStride(context);
  RunCodeGemm(context, product.plan, rows, weight, result, context.scratch());
}

// Whether rows of k codes that lie without gaps can be multiplied where they are.
inline bool NeedNoCopy(int64_t rows, int64_t k) {
  return math::CodeRowBytes(k) == k && math::CodeRowsPadded(rows) == rows;
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_QUANTIZED_PRODUCT_H_
