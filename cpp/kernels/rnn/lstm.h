// LSTM over a sequence: what BlockLSTM, BlockLSTMV2 and LSTMBlockCell share.
//
//   [i ci f o] = [x h'] w + b          (in the op's order; peepholes add wci c', wcf c' to i and f, and wco c to o)
//   c = tanh(ci) sigmoid(i) + sigmoid(f + forget_bias) c'        clipped to +-cell_clip when that is positive
//   h = sigmoid(o) tanh(c)
//
// The input's part of the product is made for many steps at once, as many as there is memory for, the recurrent part step by
// step (recurrent.h). Of the seven outputs, each [steps, batch, units], those that nobody wants take no memory.
#ifndef WHERRY_KERNELS_RNN_LSTM_H_
#define WHERRY_KERNELS_RNN_LSTM_H_

#include <cstring>
#include <limits>

#include "kernels/panels.h"
#include "kernels/rnn/lstm_products.h"
#include "kernels/rnn/recurrent.h"
#include "kernels/select.h"
#include "math/lstm_cell.h"

namespace wherry::kernels {

// What differs between the three ops.
struct LstmOp {
  bool sequence;  // x is [steps, batch, inputs] after a scalar seq_len_max; else x is [batch, inputs]
  math::LstmOrder order;
  float forget_bias;  // defaults of the attributes
  float cell_clip;
};

template <typename Products>
struct LstmParams : LstmShape {
  typename Products::Plan products;
  RecurrentSplit split;
  float forget_bias = 0;
  float cell_clip = 0;
  bool peephole = false;
};

// Where things lie in a step's scratch memory; every part begins on 64 bytes.
struct LstmScratch {
  size_t gates = 0;  // float [chunk, batch, gate_stride()]
  size_t cs = 0;     // float [batch, units]
  size_t h[2] = {};  // of even steps, of odd steps: while one is made, the other is read
  size_t products = 0;

  explicit LstmScratch(const LstmShape& p) {
    const auto floats = [](int64_t count) { return (static_cast<size_t>(count) * sizeof(float) + 63) / 64 * 64; };
    const size_t state = floats(p.batch * p.units);
    cs = gates + floats(p.chunk * p.batch * p.gate_stride());
    h[0] = cs + state;
    h[1] = h[0] + state;
    products = h[1] + state;
  }
};

inline constexpr int64_t kRnnLimit = int64_t{1} << 28;  // each dimension is below, so that small products fit

inline bool HasShape(const Tensor& tensor, int64_t a, int64_t b) {
  return tensor.rank == 2 && tensor.dim(0) == a && tensor.dim(1) == b;
}
inline bool HasShape(const Tensor& tensor, int64_t a) { return tensor.rank == 1 && tensor.dim(0) == a; }

template <typename Products>
Status PrepareLstm(PrepareContext& context, const LstmOp& op, WeightFormat format) {
  const int x_index = op.sequence ? 1 : 0;
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(8 + x_index, math::kLstmValues));
  if (op.sequence && (context.input(0).dtype != DType::kI64 || context.input(0).count() != 1)) {
    return context.Fail(Code::kCorrupt, "seq_len_max must be one int64");
  }
  for (int i = x_index; i < context.num_inputs(); ++i) WHERRY_RETURN_IF_ERROR(context.ExpectInputType(i, DType::kF32));
  const int rank = op.sequence ? 3 : 2;
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(x_index, rank));
  const Tensor& x = context.input(x_index);
  const Tensor& cs_prev = context.input(x_index + 1);
  LstmParams<Products> p;
  p.steps = op.sequence ? x.dim(0) : 1;
  p.batch = x.dim(rank - 2);
  p.inputs = x.dim(rank - 1);
  p.units = cs_prev.rank == 2 ? cs_prev.dim(1) : -1;
  const int64_t sizes[] = {p.steps, p.batch, p.inputs, p.units};
  for (const int64_t size : sizes) {
    if (size < 0 || size >= kRnnLimit) return context.Fail(Code::kCorrupt, "a dimension is out of range");
  }
  if (!HasShape(cs_prev, p.batch, p.units) || !HasShape(context.input(x_index + 2), p.batch, p.units)) {
    return context.Fail(Code::kCorrupt, "cs_prev and h_prev must be [batch, units]");
  }
  if (!HasShape(context.input(x_index + 3), p.inputs + p.units, 4 * p.units) ||
      !HasShape(context.input(x_index + 7), 4 * p.units)) {
    return context.Fail(Code::kCorrupt, "w must be [inputs + units, 4 * units] and b [4 * units]");
  }
  const Attributes& attrs = context.attrs();
  p.peephole = attrs.Bool("use_peephole", false);
  p.forget_bias = static_cast<float>(attrs.Float("forget_bias", static_cast<double>(op.forget_bias)));
  p.cell_clip = static_cast<float>(attrs.Float("cell_clip", static_cast<double>(op.cell_clip)));
  for (int i = x_index + 4; i < x_index + 7 && p.peephole; ++i) {
    if (!HasShape(context.input(i), p.units)) return context.Fail(Code::kCorrupt, "peepholes must be [units]");
  }
  for (int i = 0; i < math::kLstmValues; ++i) {
    WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(i, DType::kF32));
    const Tensor& out = context.output(i);
    if (out.rank != rank || (op.sequence && out.dim(0) != p.steps) || out.dim(rank - 2) != p.batch ||
        out.dim(rank - 1) != p.units) {
      return context.Fail(Code::kCorrupt, "output %d must have x's shape, with units for inputs", i);
    }
  }
  const int threads = context.num_threads();
  p.split = SplitRecurrent(p.batch, p.units, 4, threads);
  context.AllowUnusedOutputs();
  p.chunk = MostSequenceSteps(p.steps, p.batch);
  for (;; p.chunk = FewerSteps(p.steps, p.chunk)) {
    WHERRY_RETURN_IF_ERROR(Products::Prepare(context, x_index + 3, format, p, p.split, &p.products));
    context.params<LstmParams<Products>>() = p;
    context.RequestScratch(LstmScratch(p).products + Products::ScratchBytes(p.products, p, p.split, threads));
    if (context.scratch_bytes() <= context.scratch_limit() || p.chunk <= 1) return Status::Ok();
  }
}

inline bool AllZero(const float* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (values[i] != 0.0F) return false;  // NaN is not zero either
  }
  return true;
}

// Steps [begin, begin + count) of an output, to be written; null when nobody wants it.
inline float* OutputSteps(const RunContext& context, int output, int64_t begin, int64_t step_size) {
  const Tensor& tensor = context.output(output);
  return tensor.wanted() ? tensor.as<float>() + begin * step_size : nullptr;
}

// What the steps of a run share.
struct LstmState {
  float* gates = nullptr;  // [chunk, batch, gate_stride()]: the input's sums, which the steps go on with
  float* cs = nullptr;
  float* h[2] = {};
  math::LstmPeepholes peepholes;
  int64_t first_product = 0;  // before this step the state is zero
};

// Takes sums of any products to the new state.
struct LstmFinish {
  const math::LstmCell& cell;
  Isa isa;

  void operator()(const GateSums& from) const {
    math::RunLstmCell(cell, from.sums, from.stride, from.row, from.unit, from.count, isa);
  }
  bool operator()(const math::LstmCodeRow& panels) const { return math::RunLstmCodeRow(cell, panels, isa); }
  void operator()(const CodeGateSums& from) const { math::RunLstmCodeCell(cell, from.sums, from.row, from.unit, isa); }
};

// One part of the units through steps [begin, end). In each it reads what the other parts made in the one before.
template <typename Products>
void RunLstmPart(const RunContext& context, const LstmOp& op, const LstmState& run, const Products& products,
                 int64_t index, int64_t begin, int64_t end, Progress& progress) {
  const LstmParams<Products>& p = context.params<LstmParams<Products>>();
  const RecurrentPart part = p.split.part(index);
  const int64_t n = p.units;
  math::LstmCell cell;
  cell.order = op.order;
  cell.peepholes = run.peepholes;
  cell.forget_bias = p.forget_bias;
  cell.clip = p.cell_clip > 0.0F ? p.cell_clip : std::numeric_limits<float>::infinity();
  cell.units = n;
  cell.cs = run.cs;
  typename Products::Part product(products, part, index);
  const LstmFinish finish{cell, context.isa()};
  const OtherParts others(p.split, index, progress);
  for (int64_t t = begin; t < end; ++t) {
    float* const gates = run.gates + (t - begin) * p.batch * p.gate_stride();
    cell.h = run.h[t % 2];
    for (int value = 0; value < math::kLstmValues; ++value) {
      cell.values[value] = OutputSteps(context, value, t, p.batch * n);
    }
    if (t >= run.first_product) {
      others.Await(t);
      product.Run(run.h[(t + 1) % 2], gates, t % 2 != 0, finish);
    } else {
      ForEachRow(part, gates, p.gate_stride(), n, finish);
    }
    others.Reach(t + 1);
  }
}

// dequantize: math::Int8Panels(isa) etc.; null for float32, and for whole numbers.
template <typename Products>
Status RunLstm(RunContext& context, const LstmOp& op, math::DequantizePanel dequantize) {
  const LstmParams<Products>& p = context.params<LstmParams<Products>>();
  const int x_index = op.sequence ? 1 : 0;
  const int64_t length = op.sequence ? *context.input(0).as<const int64_t>() : 1;
  if (length < 0 || length > p.steps) {
    return context.Fail(Code::kKernelFailed, "seq_len_max is %lld, the sequence has %lld steps",
                        static_cast<long long>(length), static_cast<long long>(p.steps));
  }
  const int64_t state = p.batch * p.units;
  const size_t state_bytes = static_cast<size_t>(state) * sizeof(float);
  for (int output = 0; output < math::kLstmValues; ++output) {
    float* const rest = OutputSteps(context, output, length, state);
    if (rest != nullptr) std::memset(rest, 0, state_bytes * static_cast<size_t>(p.steps - length));
  }
  if (state == 0 || length == 0) return Status::Ok();

  const LstmScratch layout(p);
  std::byte* const scratch = context.scratch();
  const auto floats = [&](size_t offset) { return reinterpret_cast<float*>(scratch + offset); };
  LstmState run;
  run.gates = floats(layout.gates);
  run.cs = floats(layout.cs);
  run.h[0] = floats(layout.h[0]);
  run.h[1] = floats(layout.h[1]);
  const float* const x = context.input(x_index).as<const float>();
  std::memcpy(run.cs, context.input(x_index + 1).data, state_bytes);
  std::memcpy(run.h[1], context.input(x_index + 2).data, state_bytes);
  if (p.peephole) {
    run.peepholes = {context.input(x_index + 4).as<const float>(), context.input(x_index + 5).as<const float>(),
                     context.input(x_index + 6).as<const float>()};
  }
  const Products products(context, p.products, p, p.split,
                          {context.input(x_index + 3), context.input(x_index + 7).as<const float>(), dequantize},
                          scratch + layout.products);
  // Most sequences start from zeros; adding zero times the weights would read them all for nothing.
  run.first_product = AllZero(run.h[1], state) ? 1 : 0;

  Progress progress;
  for (int64_t t0 = 0; t0 < length; t0 += p.chunk) {
    const int64_t count = length - t0 < p.chunk ? length - t0 : p.chunk;
    products.Input(x + t0 * p.batch * p.inputs, count * p.batch, run.gates);
    context.threads().ForEach(p.split.count(), [&](int64_t index, int) {
      RunLstmPart(context, op, run, products, index, t0, t0 + count, progress);
    });
  }
  return Status::Ok();
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_RNN_LSTM_H_
