// GRUSequence: a GRU over a sequence, as Keras's GRU layer computes it. Not an op of TensorFlow's but a composite.
//
//   x_z, x_r, x_n = x w + b             h_z, h_r, h_n = h' u + rb
//   z = sigmoid(x_z + h_z)              r = sigmoid(x_r + h_r)
//   reset_after:  n = tanh(x_n + r h_n)      otherwise: n = tanh(x_n + (r h') u_n + rb_n)
//   h = z h' + (1 - z) n
//
// Inputs x [steps, batch, inputs], h0 [batch, units], w [inputs, 3 * units], u [units, 3 * units], b and rb
// [3 * units]. Output h [steps, batch, units]. With go_backwards the first step sees the last of x.
#include "kernels/rnn/gru.h"
#include "kernels/rnn/recurrent.h"
#include "kernels/select.h"
#include "math/gru_cell.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(GRUSequence_f32_wf16) || WHERRY_SELECTED(GRUSequence_f32_wf32) || \
    WHERRY_SELECTED(GRUSequence_f32_wi8) || WHERRY_SELECTED(GRUSequence_f32_wmm)
namespace {

struct GruParams {
  int64_t steps = 0;
  int64_t batch = 0;
  int64_t inputs = 0;
  int64_t units = 0;
  int64_t chunk = 0;  // steps whose input products are made at once
  bool reset_after = true;
  bool go_backwards = false;
  RecurrentSplit split;
  size_t part_scratch = 0;  // bytes, for each part
};

math::GemmPlan PlanColumns(const KernelContext& context, int64_t rows, int64_t depth, int64_t begin, int64_t end,
                           bool dequantizes) {
  return math::PlanGemm(rows, depth, begin, end, dequantizes, context.isa(), context.num_threads());
}

// Parts of the scratch memory, in bytes from its beginning.
struct GruScratch {
  size_t sums;  // float [batch, 3 * units]: of the state; when resetting before, r h' [batch, units]
  size_t gemm;
  explicit GruScratch(const GruParams& p)  // x's gates, float [chunk, batch, 3 * units], come first
      : sums(GruBytes(p.chunk * p.batch * 3 * p.units)),
        gemm(sums + GruBytes(p.batch * (p.reset_after ? 3 : 1) * p.units)) {}
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
  p.split = SplitRecurrent(p.batch, p.units, 3, context.num_threads());
  p.part_scratch = RecurrentScratchBytes(p.split, GruDequantizes(context.input(3)), context.isa());
  const size_t recurrent = p.part_scratch * static_cast<size_t>(p.split.count());
  p.chunk = MostSequenceSteps(p.steps, p.batch);
  for (;; p.chunk = FewerSteps(p.steps, p.chunk)) {
    const math::GemmPlan plan =
        PlanColumns(context, p.chunk * p.batch, p.inputs, 0, 3 * p.units, GruDequantizes(context.input(2)));
    const size_t input = GemmScratchBytes(plan, context.num_threads());
    context.RequestScratch(GruScratch(p).gemm + (input > recurrent ? input : recurrent));
    if (context.scratch_bytes() <= context.scratch_limit() || p.chunk <= 1) break;
  }
  context.params<GruParams>() = p;
  return Status::Ok();
}

// One part of the units (recurrent.h) through steps [begin, end), whose sums of x are in `gates`.
void RunGruPart(const RunContext& context, const math::PanelMatrix& u, const RecurrentPart& part, int64_t begin,
                int64_t end, Progress& progress) {
  const GruParams& p = context.params<GruParams>();
  const GruScratch layout(p);
  const int64_t n = p.units;
  const int64_t state = p.batch * n;
  float* const gates = reinterpret_cast<float*>(context.scratch());
  float* const sums = reinterpret_cast<float*>(context.scratch() + layout.sums);
  float* const out = context.output(0).as<float>();
  std::byte* const scratch = context.scratch() + layout.gemm + p.part_scratch * static_cast<size_t>(part.index);
  const bool dequantizes = u.dequantize != nullptr;
  PartProduct all(part, n, 0, 3, dequantizes, context.isa());
  PartProduct z_r(part, n, 0, 2, dequantizes, context.isa());
  PartProduct last(part, n, 2, 3, dequantizes, context.isa());
  math::Epilogue with_bias;
  with_bias.bias = context.input(5).as<const float>();
  math::Epilogue add = with_bias;
  add.accumulate = true;
  const OtherParts others(p.split, part.index, progress);  // a step has two points
  for (int64_t t = begin; t < end; ++t) {
    const float* const old = t == 0 ? context.input(1).as<const float>() : out + (t - 1) * state;
    float* const x_gates = gates + (p.go_backwards ? end - 1 - t : t - begin) * 3 * state;
    const bool falling = t % 2 != 0;
    others.Await(2 * t);
    const auto units = [&](int64_t row) {
      float* const x = x_gates + row * 3 * n + part.unit_begin;
      const int64_t at = row * n + part.unit_begin;
      return math::GruUnits{x, x + n, x + 2 * n, old + at, out + t * state + at};
    };
    if (p.reset_after && TakesPanels(part, n)) {
      const auto product = [&](int64_t panel, float* to) { all.RunPanel(old, u, panel, to, scratch); };
      ForEachFloatPanel(part, n, 3, with_bias.bias, falling, product, [&](const GateSums& from) {
        math::GruUnits some = units(from.row);
        const int64_t skip = from.unit - part.unit_begin;
        some = {some.x_z + skip, some.x_r + skip, some.x_n + skip, some.old + skip, some.h + skip};
        math::RunGruResetAfter(some, from.sums, from.sums + from.stride, from.sums + 2 * from.stride, from.count,
                               context.isa());
      });
    } else if (p.reset_after) {
      // Sums begin with the bias, as they do panel by panel: a row may be alone with some numbers of threads only.
      for (int64_t row = part.row_begin; row < part.row_end; ++row) {
        for (int64_t g = 0; g < 3; ++g) {
          const int64_t at = g * n + part.unit_begin;
          std::memcpy(sums + row * 3 * n + at, with_bias.bias + at, sizeof(float) * static_cast<size_t>(part.units()));
        }
      }
      math::Epilogue to_bias;
      to_bias.accumulate = true;
      all.Run(old, u, to_bias, sums, 3 * n, falling, scratch);
      for (int64_t row = part.row_begin; row < part.row_end; ++row) {
        const float* const h = sums + row * 3 * n + part.unit_begin;
        math::RunGruResetAfter(units(row), h, h + n, h + 2 * n, part.units(), context.isa());
      }
    } else {
      z_r.Run(old, u, add, x_gates, 3 * n, falling, scratch);
      for (int64_t row = part.row_begin; row < part.row_end; ++row) {
        math::RunGruReset(units(row), sums + row * n + part.unit_begin, part.units(), context.isa());
      }
      others.Reach(2 * t + 1);
      others.Await(2 * t + 1);
      last.Run(sums, u, add, x_gates, 3 * n, falling, scratch);
      for (int64_t row = part.row_begin; row < part.row_end; ++row) {
        math::RunGruUpdate(units(row), part.units(), context.isa());
      }
    }
    others.Reach(2 * t + 2);
  }
}

Status RunGruSequence(RunContext& context, math::DequantizePanel dequantize) {
  const GruParams& p = context.params<GruParams>();
  if (p.batch * p.units == 0) return Status::Ok();
  const GruScratch layout(p);
  const int64_t columns = 3 * p.units;
  float* const gates = reinterpret_cast<float*>(context.scratch());
  const float* const x = context.input(0).as<const float>();
  const math::PanelMatrix w = GruPanels(context.input(2), p.inputs, columns, dequantize);
  const math::PanelMatrix u = GruPanels(context.input(3), p.units, columns, dequantize);
  math::Epilogue with_bias;
  with_bias.bias = context.input(4).as<const float>();

  Progress progress;
  for (int64_t t0 = 0; t0 < p.steps; t0 += p.chunk) {
    const int64_t count = p.steps - t0 < p.chunk ? p.steps - t0 : p.chunk;
    const int64_t x_begin = p.go_backwards ? p.steps - t0 - count : t0;
    const math::GemmPlan plan =
        PlanColumns(context, count * p.batch, p.inputs, 0, columns, w.dequantize != nullptr);
    RunGemm(context, plan, math::RowSource::Matrix(x + x_begin * p.batch * p.inputs, p.inputs), w, with_bias, gates,
            columns, context.scratch() + layout.gemm);
    context.threads().ForEach(p.split.count(), [&](int64_t index, int) {
      RunGruPart(context, u, p.split.part(index), t0, t0 + count, progress);
    });
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
