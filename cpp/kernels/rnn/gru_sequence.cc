// GRUSequence: a GRU over a sequence, as Keras's GRU layer computes it. Not an op of TensorFlow's but a composite.
//
//   x_z, x_r, x_n = x w + b             h_z, h_r, h_n = h' u + rb
//   z = sigmoid(x_z + h_z)              r = sigmoid(x_r + h_r)
//   reset_after:  n = tanh(x_n + r h_n)      otherwise: n = tanh(x_n + (r h') u_n + rb_n)
//   h = z h' + (1 - z) n
//
// Inputs x [steps, batch, inputs], h0 [batch, units], w [inputs, 3 * units], u [units, 3 * units], b and rb
// [3 * units]. Output h [steps, batch, units]. With go_backwards the first step sees the last of x.
#include <cstring>

#include "kernels/rnn/gru.h"
#include "kernels/select.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(GRUSequence_f32_wf16) || WHERRY_SELECTED(GRUSequence_f32_wf32) || \
    WHERRY_SELECTED(GRUSequence_f32_wi8) || WHERRY_SELECTED(GRUSequence_f32_wmm)
namespace {

constexpr int64_t kGruRows = 64;  // rows of an input product, where there are as many

struct GruParams {
  int64_t steps = 0;
  int64_t batch = 0;
  int64_t inputs = 0;
  int64_t units = 0;
  int64_t chunk = 0;  // steps whose input products are made at once
  bool reset_after = true;
  bool go_backwards = false;
};

math::GemmPlan PlanColumns(const KernelContext& context, int64_t rows, int64_t depth, int64_t begin, int64_t end,
                           bool dequantizes) {
  return math::PlanGemm(rows, depth, begin, end, dequantizes, context.isa(), context.num_threads());
}

// Parts of the scratch memory, in bytes from its beginning.
struct GruScratch {
  size_t h_gates;  // float [batch, 3 * units]; when resetting before, r h' [batch, units]
  size_t h;        // float [batch, units]
  size_t gemm;
  explicit GruScratch(const GruParams& p)  // x's gates, float [chunk, batch, 3 * units], come first
      : h_gates(GruBytes(p.chunk * p.batch * 3 * p.units)),
        h(h_gates + GruBytes(p.batch * 3 * p.units)),
        gemm(h + GruBytes(p.batch * p.units)) {}
};

Status PrepareGruSequence(PrepareContext& context, WeightFormat format) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(6, 1));
  for (int i = 0; i < 6; ++i) WHERRY_RETURN_IF_ERROR(context.ExpectInputType(i, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(0, 3));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(1, 2));
  WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(0, DType::kF32));
  GruParams p;
  p.steps = context.input(0).dim(0);
  p.batch = context.input(0).dim(1);
  p.inputs = context.input(0).dim(2);
  p.units = context.input(1).dim(1);
  const int64_t sizes[] = {p.steps, p.batch, p.inputs, p.units};
  for (const int64_t size : sizes) {
    if (size < 0 || size >= kGruLimit) return context.Fail(Code::kCorrupt, "a dimension is out of range");
  }
  if (context.input(1).dim(0) != p.batch || !GruHasShape(context.input(2), p.inputs, 3 * p.units) ||
      !GruHasShape(context.input(3), p.units, 3 * p.units) || !GruHasShape(context.input(4), 3 * p.units) ||
      !GruHasShape(context.input(5), 3 * p.units)) {
    return context.Fail(Code::kCorrupt, "the state, the weights or the biases do not fit x");
  }
  WHERRY_RETURN_IF_ERROR(CheckPanels(context, 2, GruFormat(context.input(2), format), p.inputs, 3 * p.units));
  WHERRY_RETURN_IF_ERROR(CheckPanels(context, 3, GruFormat(context.input(3), format), p.units, 3 * p.units));
  const Tensor& out = context.output(0);
  if (out.rank != 3 || out.dim(0) != p.steps || out.dim(1) != p.batch || out.dim(2) != p.units) {
    return context.Fail(Code::kCorrupt, "output must be [steps, batch, units]");
  }
  p.reset_after = context.attrs().Bool("reset_after", true);
  p.go_backwards = context.attrs().Bool("go_backwards", false);
  p.chunk = p.batch == 0 || p.batch > kGruRows ? 1 : kGruRows / p.batch;
  if (p.chunk > p.steps) p.chunk = p.steps;
  context.params<GruParams>() = p;
  const int64_t depth = p.inputs > p.units ? p.inputs : p.units;
  const math::GemmPlan plan =
      PlanColumns(context, p.chunk * p.batch, depth, 0, 3 * p.units, format != WeightFormat::kPlain);
  context.RequestScratch(GruScratch(p).gemm + GemmScratchBytes(plan, context.num_threads()));
  return Status::Ok();
}

// Splits the batch's rows over the threads: step(row).
template <typename Step>
void ForEachRow(const RunContext& context, const GruParams& p, const Step& step) {
  context.threads().ForRange(p.batch, 1 + 8192 / (p.units + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) step(row);
  });
}

// One step. gates [batch, 3 * units] hold x's sums; h [batch, units] is the state.
void StepGru(const RunContext& context, const GruParams& p, const math::PanelMatrix& u, float* gates, float* h) {
  const GruScratch layout(p);
  const int64_t n = p.units;
  const bool dequantizes = u.dequantize != nullptr;
  float* const h_gates = reinterpret_cast<float*>(context.scratch() + layout.h_gates);
  std::byte* const scratch = context.scratch() + layout.gemm;
  math::Epilogue epilogue;
  epilogue.bias = context.input(5).as<const float>();
  if (p.reset_after) {
    RunGemm(context, PlanColumns(context, p.batch, n, 0, 3 * n, dequantizes), math::RowSource::Matrix(h, n), u,
            epilogue, h_gates, 3 * n, scratch);
    ForEachRow(context, p, [&](int64_t row) {
      StepGruResetAfter(gates + row * 3 * n, h_gates + row * 3 * n, h + row * n, n, context.isa());
    });
    return;
  }
  epilogue.accumulate = true;
  RunGemm(context, PlanColumns(context, p.batch, n, 0, 2 * n, dequantizes), math::RowSource::Matrix(h, n), u, epilogue,
          gates, 3 * n, scratch);
  float* const reset = h_gates;
  ForEachRow(context, p, [&](int64_t row) {
    float* const z_r = gates + row * 3 * n;
    math::Activate(math::Activation::kSigmoid, 0, z_r, 2 * n, context.isa());
    for (int64_t k = 0; k < n; ++k) reset[row * n + k] = z_r[n + k] * h[row * n + k];
  });
  RunGemm(context, PlanColumns(context, p.batch, n, 2 * n, 3 * n, dequantizes), math::RowSource::Matrix(reset, n), u,
          epilogue, gates, 3 * n, scratch);
  ForEachRow(context, p, [&](int64_t row) {
    float* const z = gates + row * 3 * n;
    math::Activate(math::Activation::kTanh, 0, z + 2 * n, n, context.isa());
    MixGru(z, z + 2 * n, h + row * n, n);
  });
}

Status RunGruSequence(RunContext& context, math::DequantizePanel dequantize) {
  const GruParams& p = context.params<GruParams>();
  const int64_t state = p.batch * p.units;
  if (state == 0) return Status::Ok();
  const GruScratch layout(p);
  const int64_t columns = 3 * p.units;
  const size_t state_bytes = static_cast<size_t>(state) * sizeof(float);
  float* const gates = reinterpret_cast<float*>(context.scratch());
  float* const h = reinterpret_cast<float*>(context.scratch() + layout.h);
  const float* const x = context.input(0).as<const float>();
  float* const out = context.output(0).as<float>();
  std::memcpy(h, context.input(1).data, state_bytes);
  const math::PanelMatrix w = GruPanels(context.input(2), p.inputs, columns, dequantize);
  const math::PanelMatrix u = GruPanels(context.input(3), p.units, columns, dequantize);
  math::Epilogue with_bias;
  with_bias.bias = context.input(4).as<const float>();

  for (int64_t t0 = 0; t0 < p.steps; t0 += p.chunk) {
    const int64_t count = p.steps - t0 < p.chunk ? p.steps - t0 : p.chunk;
    const int64_t x_begin = p.go_backwards ? p.steps - t0 - count : t0;
    const math::GemmPlan plan =
        PlanColumns(context, count * p.batch, p.inputs, 0, columns, w.dequantize != nullptr);
    RunGemm(context, plan, math::RowSource::Matrix(x + x_begin * p.batch * p.inputs, p.inputs), w, with_bias, gates,
            columns, context.scratch() + layout.gemm);
    for (int64_t k = 0; k < count; ++k) {
      const int64_t x_step = p.go_backwards ? count - 1 - k : k;
      StepGru(context, p, u, gates + x_step * p.batch * columns, h);
      std::memcpy(out + (t0 + k) * state, h, state_bytes);
    }
  }
  return Status::Ok();
}

}  // namespace
#endif

#if WHERRY_SELECTED(GRUSequence_f32_wf16)
WHERRY_PREPARE(GRUSequence_f32_wf16) { return PrepareGruSequence(context, WeightFormat::kFloat16); }
WHERRY_RUN(GRUSequence_f32_wf16) { return RunGruSequence(context, math::Float16Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(GRUSequence_f32_wf32)
WHERRY_PREPARE(GRUSequence_f32_wf32) { return PrepareGruSequence(context, WeightFormat::kPlain); }
WHERRY_RUN(GRUSequence_f32_wf32) { return RunGruSequence(context, nullptr); }
#endif

#if WHERRY_SELECTED(GRUSequence_f32_wi8)
WHERRY_PREPARE(GRUSequence_f32_wi8) { return PrepareGruSequence(context, WeightFormat::kInt8); }
WHERRY_RUN(GRUSequence_f32_wi8) { return RunGruSequence(context, math::Int8Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(GRUSequence_f32_wmm)
WHERRY_PREPARE(GRUSequence_f32_wmm) { return PrepareGruSequence(context, WeightFormat::kMinMax); }
WHERRY_RUN(GRUSequence_f32_wmm) { return RunGruSequence(context, math::MinMaxPanels(context.isa())); }
#endif

}  // namespace wherry::kernels
