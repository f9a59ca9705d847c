// MatMul, float32: [M, K] x [K, N], with a weight in panels or two operands of the run, and a fused bias and activation.
//
// Weights come as [K, N] whatever transpose_b said: the compiler has resolved it. transpose_a says that input 0 is [K, M].
#include "kernels/halves.h"
#include "kernels/nn/fused.h"
#include "kernels/panels.h"
#include "kernels/select.h"
#include "math/matrix.h"

namespace wherry::kernels {
namespace {

struct MatMulParams {
  math::GemmPlan plan;
  Fused fused;
  bool transpose_a = false;
  bool transpose_b = false;
  float half_limit = 0.0F;  // unless 0, `plan` is one of halves
};

// k from input 0, n from output 0, or from a weight that may have some of its columns only; what is left to check of
// input 1 is the caller's.
Status PrepareMatMul(PrepareContext& context, bool has_weight, bool dequantizes, int64_t* k, int64_t* n) {
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(0, 2));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(1, 2));
  if (context.output(0).rank != 2) return context.Fail(Code::kCorrupt, "output must have rank 2");
  MatMulParams& params = context.params<MatMulParams>();
  params = MatMulParams();
  params.transpose_a = context.attrs().Bool("transpose_a", false);
  const int64_t m = context.input(0).dim(params.transpose_a ? 1 : 0);
  *k = context.input(0).dim(params.transpose_a ? 0 : 1);
  *n = has_weight ? context.input(1).dim(1) : context.output(0).dim(1);
  if (context.output(0).dim(0) != m) return context.Fail(Code::kCorrupt, "output and input 0 differ in rows");
  WHERRY_RETURN_IF_ERROR(ReadFused(context, 2, *n, &params.fused));
  if (has_weight) WHERRY_RETURN_IF_ERROR(ReadColumns(context, *n, &params.fused.first_column));
  params.plan = math::PlanGemm(m, *k, 0, *n, dequantizes, context.isa(), context.num_threads());
  context.RequestScratch(GemmScratchBytes(params.plan, context.num_threads()));
  return Status::Ok();
}

// The rows of input 0, whose elements `transposed` names too: it has to live as long.
math::RowSource RowsOf(const MatMulParams& params, const math::TransposedMatrix& transposed) {
  return params.transpose_a ? math::RowSource::Made(&math::CopyTransposed, &transposed)
                            : math::RowSource::Matrix(transposed.data, params.plan.k);
}

Status RunMatMul(RunContext& context, const math::PanelMatrix& b) {
  const MatMulParams& params = context.params<MatMulParams>();
  const math::TransposedMatrix transposed = {context.input(0).as<const float>(), params.plan.m};
  const math::RowSource rows = RowsOf(params, transposed);
  RunGemm(context, params.plan, rows, b, EpilogueOf(context, params.fused, 2), ColumnsOut<float>(context, params.fused),
          RowStride(context), context.scratch());
  return Status::Ok();
}

[[maybe_unused]] Status PrepareWeight(PrepareContext& context, WeightFormat format) {
  int64_t k = 0;
  int64_t n = 0;
  WHERRY_RETURN_IF_ERROR(PrepareMatMul(context, true, format != WeightFormat::kPlain, &k, &n));
  if (context.input(1).dim(0) != k) {
    return context.Fail(Code::kCorrupt, "weight must have %lld rows", static_cast<long long>(k));
  }
  return CheckPanels(context, 1, format, k, n);
}

[[maybe_unused]] Status RunWeight(RunContext& context, math::DequantizePanel dequantize) {
  const Tensor& weight = context.input(1);
  return RunMatMul(context, PanelsOf(weight, weight.dim(0), weight.dim(1), dequantize));
}

}  // namespace

#if WHERRY_SELECTED(MatMul_f32_hf16)
WHERRY_PREPARE(MatMul_f32_hf16) {
  float limit = 0.0F;
  WHERRY_RETURN_IF_ERROR(ReadHalfLimit(context, &limit));
  WHERRY_RETURN_IF_ERROR(PrepareWeight(context, WeightFormat::kFloat16));
  if (!math::MultipliesHalves(context.isa())) return Status::Ok();
  MatMulParams& params = context.params<MatMulParams>();
  params.half_limit = limit;
  params.plan = math::PlanHalfGemm(params.plan.m, params.plan.k, params.plan.column_end, context.isa(),
                                   context.num_threads());
  context.RequestScratch(GemmScratchBytes(params.plan, context.num_threads()));
  return Status::Ok();
}
WHERRY_RUN(MatMul_f32_hf16) {
  const MatMulParams& params = context.params<MatMulParams>();
  if (params.half_limit == 0.0F) return RunWeight(context, math::Float16Panels(context.isa()));
  const math::TransposedMatrix transposed = {context.input(0).as<const float>(), params.plan.m};
  const math::RowSource rows = RowsOf(params, transposed);
  const int64_t n = params.plan.column_end;
  RunHalfGemm(context, params.plan, rows, params.half_limit, PanelsOf(context.input(1), params.plan.k, n, nullptr),
              EpilogueOf(context, params.fused, 2), ColumnsOut<float>(context, params.fused), RowStride(context),
              context.scratch());
  return Status::Ok();
}
#endif

#if WHERRY_SELECTED(MatMul_f32)
WHERRY_PREPARE(MatMul_f32) {
  int64_t k = 0;
  int64_t n = 0;
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 1, DType::kF32));
  WHERRY_RETURN_IF_ERROR(PrepareMatMul(context, false, true, &k, &n));
  const bool transpose_b = context.attrs().Bool("transpose_b", false);
  context.params<MatMulParams>().transpose_b = transpose_b;
  if (context.input(1).dim(transpose_b ? 1 : 0) != k || context.input(1).dim(transpose_b ? 0 : 1) != n) {
    return context.Fail(Code::kCorrupt, "input 1 does not fit input 0 and the output");
  }
  return Status::Ok();
}
WHERRY_RUN(MatMul_f32) {
  const MatMulParams& params = context.params<MatMulParams>();
  return RunMatMul(context, math::PanelsOfMatrix(context.input(1).as<const float>(), params.plan.k,
                                                 params.plan.column_end, params.transpose_b));
}
#endif

#if WHERRY_SELECTED(MatMul_f32_wf32)
WHERRY_PREPARE(MatMul_f32_wf32) { return PrepareWeight(context, WeightFormat::kPlain); }
WHERRY_RUN(MatMul_f32_wf32) { return RunWeight(context, nullptr); }
#endif

#if WHERRY_SELECTED(MatMul_f32_wf16)
WHERRY_PREPARE(MatMul_f32_wf16) { return PrepareWeight(context, WeightFormat::kFloat16); }
WHERRY_RUN(MatMul_f32_wf16) { return RunWeight(context, math::Float16Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(MatMul_f32_wi8)
WHERRY_PREPARE(MatMul_f32_wi8) { return PrepareWeight(context, WeightFormat::kInt8); }
WHERRY_RUN(MatMul_f32_wi8) { return RunWeight(context, math::Int8Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(MatMul_f32_wmm)
WHERRY_PREPARE(MatMul_f32_wmm) { return PrepareWeight(context, WeightFormat::kMinMax); }
WHERRY_RUN(MatMul_f32_wmm) { return RunWeight(context, math::MinMaxPanels(context.isa())); }
#endif

}  // namespace wherry::kernels
