// MatMul, float32 [M, K] x weight [K, N] of 8 or 16 bits, in whole numbers: each row of input 0 is quantized in its own range first.
#include "kernels/codes.h"
#include "kernels/nn/fused.h"
#include "kernels/select.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(MatMul_f32_di8)
namespace {

struct MatMulCodesParams {
  math::CodeGemmPlan plan;
  RowCodes rows;
  Fused fused;
};

struct MatrixRows {
  const float* a;
  RowCodes rows;
  math::CodeScale* scales;
  Isa isa;
};

// A CopyCodes; source: a MatrixRows.
void QuantizeMatrixRows(const void* source, int64_t row, int64_t rows, uint8_t* out, int64_t stride) {
  const MatrixRows& matrix = *static_cast<const MatrixRows*>(source);
  const int64_t k = matrix.rows.k;
  math::QuantizeRows(matrix.a + row * k, k, rows, k, 0, matrix.rows.planes, out, stride, matrix.scales + row, matrix.isa);
}

}  // namespace

WHERRY_PREPARE(MatMul_f32_di8) {
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(0, 2));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(1, 2));
  const int64_t m = context.input(0).dim(0);
  const int64_t k = context.input(0).dim(1);
  const Tensor& out = context.output(0);
  if (out.rank != 2 || out.dim(0) != m) return context.Fail(Code::kCorrupt, "output and input 0 differ in rows");
  const int64_t n = context.input(1).dim(1);
  if (context.attrs().Bool("transpose_a", false) || context.input(1).dim(0) != k) {
    return context.Fail(Code::kCorrupt, "weight must have %lld rows", static_cast<long long>(k));
  }
  WHERRY_RETURN_IF_ERROR(CheckQuadsOfPlanes(context, 1, k, n));
  MatMulCodesParams& params = context.params<MatMulCodesParams>();
  params = MatMulCodesParams();
  WHERRY_RETURN_IF_ERROR(ReadFused(context, 2, n, &params.fused));
  WHERRY_RETURN_IF_ERROR(ReadColumns(context, n, &params.fused.first_column));
  WHERRY_RETURN_IF_ERROR(ReadPlanes(context, &params.rows.planes));
  params.rows.rows = m;
  params.rows.k = k;
  const int threads = context.num_threads();
  const auto plan = [&](bool thrifty) {
    params.plan = params.rows.Plan(n, WeightPlanes(context.input(1)), context.isa(), threads, thrifty);
    context.RequestScratch(params.rows.bytes() + CodeGemmScratchBytes(params.plan, threads));
  };
  plan(false);
  if (context.scratch_bytes() > context.scratch_limit()) plan(true);
  return Status::Ok();
}

WHERRY_RUN(MatMul_f32_di8) {
  const MatMulCodesParams& params = context.params<MatMulCodesParams>();
  const RowCodes& rows = params.rows;
  const float* const a = context.input(0).as<const float>();
  std::byte* const scratch = context.scratch();
  const MatrixRows source = {a, rows, rows.scales(scratch), context.isa()};
  math::CodeRows codes = rows.View(scratch);
  codes.copy = &QuantizeMatrixRows;
  codes.source = &source;
  if (rows.ahead) {
    context.threads().ForRange(rows.rows, 1 + kQuantizeGrain / (rows.k + 1), [&](int64_t begin, int64_t end, int) {
      QuantizeMatrixRows(&source, begin, end - begin, rows.codes(scratch, begin), rows.stride());
    });
  }
  const Tensor& weight = context.input(1);
  RunCodeGemm(context, params.plan, codes, QuadsOf(weight, rows.k, params.plan.n),
              EpilogueOf(context, params.fused, 2), ColumnsOut<float>(context, params.fused), RowStride(context),
              scratch + rows.bytes());
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
