// QLinearMatMul: [M, K] 8-bit codes x 8-bit weight [K, N] in quads, in whole numbers, with a fused bias and activation.
#include "kernels/quantized/product.h"
#include "kernels/select.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(QLinearMatMul_u8_wi8)
WHERRY_PREPARE(QLinearMatMul_u8_wi8) {
  if (context.num_outputs() != 1) return context.Fail(Code::kCorrupt, "needs one output");
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(0, 2));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(1, 2));
  const int64_t m = context.input(0).dim(0);
  const int64_t k = context.input(1).dim(0);
  const int64_t n = context.input(1).dim(1);
  if (context.input(0).dim(1) != k) return context.Fail(Code::kCorrupt, "weight and input 0 do not fit");
  WHERRY_RETURN_IF_ERROR(CheckQuads(context, 1, k, n));
  ProductCodes& product = context.params<ProductCodes>();
  WHERRY_RETURN_IF_ERROR(ReadProduct(context, n, false, &product));
  const Tensor& out = context.output(0);
  if (out.rank != 2 || out.dim(0) != m) return context.Fail(Code::kCorrupt, "output and input 0 differ in rows");
  product.plan = math::PlanCodeGemm(m, k, n, {}, !NeedNoCopy(m, k), context.isa(), context.num_threads());
  context.RequestScratch(CodeGemmScratchBytes(product.plan, context.num_threads()));
  return Status::Ok();
}

WHERRY_RUN(QLinearMatMul_u8_wi8) {
  const ProductCodes& product = context.params<ProductCodes>();
  if (product.plan.tasks() == 0) return Status::Ok();
  const Tensor& weight = context.input(1);
  const int64_t k = weight.dim(0);
  const math::PlainCodes plain = {context.input(0).as<const uint8_t>(), k, k};
  math::CodeRows rows;
  rows.codes = plain.codes;
  rows.stride = k;
  rows.copy = &math::CopyPlainCodes;
  rows.source = &plain;
  RunProduct(context, product, rows, QuadsOf(weight, k, product.plan.n));
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
