// GRUBlockCell: one step of a GRU that resets before the product.
//
//   [r u] = sigmoid([x h'] w_ru + b_ru)      c = tanh([x, r h'] w_c + b_c)      h = u h' + (1 - u) c
//
// Inputs x [batch, inputs], h_prev [batch, units], w_ru [inputs + units, 2 * units], w_c [inputs + units, units],
// b_ru, b_c. Outputs r, u, c, h [batch, units]; those that nobody wants take no memory.
#include <cstring>

#include "kernels/rnn/gru.h"
#include "kernels/select.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(GRUBlockCell_f32_wf16) || WHERRY_SELECTED(GRUBlockCell_f32_wf32) || \
    WHERRY_SELECTED(GRUBlockCell_f32_wi8) || WHERRY_SELECTED(GRUBlockCell_f32_wmm)
namespace {

struct GruCellParams {
  int64_t batch = 0;
  int64_t inputs = 0;
  int64_t units = 0;
  size_t gemm_scratch = 0;  // where it begins
};

Status PrepareGruCell(PrepareContext& context, WeightFormat format) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(6, 4));
  for (int i = 0; i < 6; ++i) WHERRY_RETURN_IF_ERROR(context.ExpectInputType(i, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(0, 2));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(1, 2));
  GruCellParams p;
  p.batch = context.input(0).dim(0);
  p.inputs = context.input(0).dim(1);
  p.units = context.input(1).dim(1);
  const int64_t sizes[] = {p.batch, p.inputs, p.units};
  for (const int64_t size : sizes) {
    if (size < 0 || size >= kGruLimit) return context.Fail(Code::kCorrupt, "a dimension is out of range");
  }
  const int64_t depth = p.inputs + p.units;
  if (context.input(1).dim(0) != p.batch || !GruHasShape(context.input(2), depth, 2 * p.units) ||
      !GruHasShape(context.input(3), depth, p.units) || !GruHasShape(context.input(4), 2 * p.units) ||
      !GruHasShape(context.input(5), p.units)) {
    return context.Fail(Code::kCorrupt, "the state, the weights or the biases do not fit x");
  }
  WHERRY_RETURN_IF_ERROR(CheckPanels(context, 2, GruFormat(context.input(2), format), depth, 2 * p.units));
  WHERRY_RETURN_IF_ERROR(CheckPanels(context, 3, GruFormat(context.input(3), format), depth, p.units));
  for (int i = 0; i < 4; ++i) {
    WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(i, DType::kF32));
    if (!GruHasShape(context.output(i), p.batch, p.units)) {
      return context.Fail(Code::kCorrupt, "output %d must be [batch, units]", i);
    }
  }
  const auto scratch = [&](int weight, int64_t columns) {
    const math::GemmPlan plan = math::PlanGemm(p.batch, depth, 0, columns, GruDequantizes(context.input(weight)),
                                               context.isa(), context.num_threads());
    return GemmScratchBytes(plan, context.num_threads());
  };
  const size_t gates = scratch(2, 2 * p.units);
  const size_t candidate = scratch(3, p.units);
  p.gemm_scratch = GruBytes(2 * p.batch * p.units) + 2 * GruBytes(p.batch * p.units);
  context.params<GruCellParams>() = p;
  context.RequestScratch(p.gemm_scratch + (gates > candidate ? gates : candidate));
  context.AllowUnusedOutputs();
  return Status::Ok();
}

// c [batch, columns] = [x state] w + bias, as one sum over both.
void JoinedProduct(const RunContext& context, const GruCellParams& p, const float* state, const Tensor& w,
                   const Tensor& bias, int64_t columns, math::DequantizePanel dequantize, float* c) {
  std::byte* const scratch = context.scratch() + p.gemm_scratch;
  math::PanelMatrix weights = GruPanels(w, p.inputs + p.units, columns, dequantize);
  const auto plan = [&](int64_t depth) {
    return math::PlanGemm(p.batch, depth, 0, columns, weights.dequantize != nullptr, context.isa(),
                          context.num_threads());
  };
  math::Epilogue epilogue;
  RunGemm(context, plan(p.inputs), math::RowSource::Matrix(context.input(0).as<const float>(), p.inputs), weights,
          epilogue, c, columns, scratch);
  weights.first_row = p.inputs;
  epilogue.accumulate = true;
  epilogue.bias = bias.as<const float>();
  RunGemm(context, plan(p.units), math::RowSource::Matrix(state, p.units), weights, epilogue, c, columns, scratch);
}

Status RunGruCell(RunContext& context, math::DequantizePanel dequantize) {
  const GruCellParams& p = context.params<GruCellParams>();
  const int64_t n = p.units;
  const int64_t state = p.batch * n;
  if (state == 0) return Status::Ok();
  const float* const h_prev = context.input(1).as<const float>();
  float* const ru = reinterpret_cast<float*>(context.scratch());
  float* const reset = reinterpret_cast<float*>(context.scratch() + GruBytes(2 * state));  // r h', later h
  float* const c = reinterpret_cast<float*>(context.scratch() + GruBytes(2 * state) + GruBytes(state));

  JoinedProduct(context, p, h_prev, context.input(2), context.input(4), 2 * n, dequantize, ru);
  math::Activate(math::Activation::kSigmoid, 0, ru, 2 * state, context.isa());
  for (int64_t row = 0; row < p.batch; ++row) {
    for (int64_t u = 0; u < n; ++u) reset[row * n + u] = ru[row * 2 * n + u] * h_prev[row * n + u];
  }
  JoinedProduct(context, p, reset, context.input(3), context.input(5), n, dequantize, c);
  math::Activate(math::Activation::kTanh, 0, c, state, context.isa());

  const size_t row_bytes = static_cast<size_t>(n) * sizeof(float);
  for (int64_t row = 0; row < p.batch; ++row) {
    float* const h = reset + row * n;
    std::memcpy(h, h_prev + row * n, row_bytes);
    MixGru(ru + row * 2 * n + n, c + row * n, h, n);
    const float* const values[4] = {ru + row * 2 * n, ru + row * 2 * n + n, c + row * n, h};
    for (int output = 0; output < 4; ++output) {
      const Tensor& to = context.output(output);
      if (to.wanted()) std::memcpy(to.as<float>() + row * n, values[output], row_bytes);
    }
  }
  return Status::Ok();
}

}  // namespace
#endif

#if WHERRY_SELECTED(GRUBlockCell_f32_wf16)
WHERRY_PREPARE(GRUBlockCell_f32_wf16) { return PrepareGruCell(context, WeightFormat::kFloat16); }
WHERRY_RUN(GRUBlockCell_f32_wf16) { return RunGruCell(context, math::Float16Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(GRUBlockCell_f32_wf32)
WHERRY_PREPARE(GRUBlockCell_f32_wf32) { return PrepareGruCell(context, WeightFormat::kPlain); }
WHERRY_RUN(GRUBlockCell_f32_wf32) { return RunGruCell(context, nullptr); }
#endif

#if WHERRY_SELECTED(GRUBlockCell_f32_wi8)
WHERRY_PREPARE(GRUBlockCell_f32_wi8) { return PrepareGruCell(context, WeightFormat::kInt8); }
WHERRY_RUN(GRUBlockCell_f32_wi8) { return RunGruCell(context, math::Int8Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(GRUBlockCell_f32_wmm)
WHERRY_PREPARE(GRUBlockCell_f32_wmm) { return PrepareGruCell(context, WeightFormat::kMinMax); }
WHERRY_RUN(GRUBlockCell_f32_wmm) { return RunGruCell(context, math::MinMaxPanels(context.isa())); }
#endif

}  // namespace wherry::kernels
