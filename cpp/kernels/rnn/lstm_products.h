// The two matrix products of an LSTM, [x h'] w: the input's for many steps at once, the state's step by step and part by
// part (recurrent.h). In float32 from any weight format, or in whole numbers from 8-bit codes.
#ifndef WHERRY_KERNELS_RNN_LSTM_PRODUCTS_H_
#define WHERRY_KERNELS_RNN_LSTM_PRODUCTS_H_

#include "kernels/codes.h"
#include "kernels/panels.h"
#include "kernels/rnn/lstm_input.h"
#include "kernels/rnn/recurrent.h"
#include "math/lstm_cell.h"

namespace wherry::kernels {

// What both take at run time. w is [inputs + units, 4 * units].
struct LstmWeights {
  const Tensor& w;
  const float* bias;
  math::DequantizePanel dequantize;  // null for float32 and for whole numbers
};

// done(GateSums) for each row of a part, whose sums lie in gates [batch, 4 * units], ldc apart.
template <class Done>
void ForEachRow(const RecurrentPart& part, float* gates, int64_t ldc, int64_t units, const Done& done) {
  for (int64_t row = part.row_begin; row < part.row_end; ++row) {
    done(GateSums{row, part.unit_begin, part.units(), gates + row * ldc + part.unit_begin, units});
  }
}

// The sums of a panel of units of one row, those of codes beside those of the input.
struct CodeGateSums {
  int64_t row;
  int64_t unit;
  math::LstmCodeSums sums;
};

class FloatProducts {
 public:
  // Plain data, kept in the kernel's params.
  struct Plan {
    LstmInput::Plan input;
    size_t part_scratch = 0;  // bytes, for each part
    bool dequantizes = false;
  };

  static Status Prepare(const PrepareContext& context, int w, WeightFormat format, const LstmShape& shape,
                        const RecurrentSplit& split, Plan* plan) {
    WHERRY_RETURN_IF_ERROR(CheckPanels(context, w, format, shape.inputs + shape.units, shape.columns()));
    plan->dequantizes = format != WeightFormat::kPlain;
    plan->input = LstmInput::Prepare(context, shape, plan->dequantizes);
    plan->part_scratch = RecurrentScratchBytes(split, plan->dequantizes, context.isa());
    return Status::Ok();
  }
  static size_t ScratchBytes(const Plan& plan, const LstmShape&, const RecurrentSplit& split, int threads) {
    const size_t input = plan.input.scratch_bytes(threads);
    const size_t recurrent = plan.part_scratch * static_cast<size_t>(split.count());
    return input > recurrent ? input : recurrent;
  }

  FloatProducts(const RunContext& context, const Plan& plan, const LstmShape& shape, const RecurrentSplit&,
                const LstmWeights& weights, std::byte* scratch)
      : context_(context), plan_(plan), shape_(shape), scratch_(scratch), bias_(weights.bias) {
    input_ = PanelsOf(weights.w, shape.inputs + shape.units, shape.columns(), weights.dequantize);
    state_ = input_;
    state_.first_row = shape.inputs;
  }

  // gates [rows, 4 * units], gate_stride() apart, = x [rows, inputs] times the input's weights, plus the bias. Uses all threads.
  void Input(const float* x, int64_t rows, float* gates) const {
    LstmInput::Run(context_, plan_.input, x, rows, input_, bias_, gates, shape_.gate_stride(), scratch_);
  }

  // A part of the step's products.
  class Part {
   public:
    Part(const FloatProducts& products, const RecurrentPart& part, int64_t index)
        : products_(products),
          part_(part),
          product_(part, products.shape_.units, 0, kLstmGates, products.plan_.dequantizes, products.context_.isa()),
          scratch_(products.scratch_ + products.plan_.part_scratch * static_cast<size_t>(index)) {}
    // Adds the state's product to gates [batch, 4 * units], in place or beside them, and hands the sums to done(GateSums).
    template <class Done>
    void Run(const float* h, float* gates, bool falling, const Done& done) {
      const int64_t units = products_.shape_.units;
      const int64_t ldc = products_.shape_.gate_stride();
      if (TakesPanels(part_, units)) {
        const auto product = [&](int64_t panel, float* sums) {
          product_.RunPanel(h, products_.state_, panel, sums, scratch_);
        };
        ForEachFloatPanel(part_, units, kLstmGates, gates + part_.row_begin * ldc, falling, product, done);
        return;
      }
      math::Epilogue add;
      add.accumulate = true;
      product_.Run(h, products_.state_, add, gates, ldc, falling, scratch_);
      ForEachRow(part_, gates, ldc, units, done);
    }

   private:
    const FloatProducts& products_;
    RecurrentPart part_;
    PartProduct product_;
    std::byte* scratch_;
  };

 private:
  const RunContext& context_;
  const Plan& plan_;
  const LstmShape& shape_;
  std::byte* scratch_;
  const float* bias_;
  math::PanelMatrix input_;
  math::PanelMatrix state_;
};

// x and h' are quantized row by row. Each part quantizes the state for itself: that is less work than waiting.
class CodeProducts {
 public:
  struct Plan {
    math::CodeGemmPlan input;
    RowCodes rows;  // of the input
    size_t state_bytes = 0;  // codes of the state, for each part
  };

  static Status Prepare(const PrepareContext& context, int w, WeightFormat, const LstmShape& shape, const RecurrentSplit&,
                        Plan* plan) {
    WHERRY_RETURN_IF_ERROR(CheckQuads(context, w, shape.inputs + shape.units, shape.columns()));
    if (shape.units % math::kPanelColumns != 0) {
      return context.Fail(Code::kCorrupt, "whole numbers need a multiple of 16 units; compile the layer in float arithmetic");
    }
    int planes = 1;
    WHERRY_RETURN_IF_ERROR(ReadPlanes(context, &planes));
    plan->rows = InputRows(shape, shape.chunk * shape.batch, planes);
    plan->input = PlanInput(context, plan->rows, shape);
    plan->state_bytes = StateRows(shape, shape.batch, plan->rows.planes).bytes();
    const uint32_t split = context.input(w).quant.split;
    if (split == 0 || static_cast<int64_t>(split) != shape.inputs) {
      return context.Fail(Code::kCorrupt, "weight %d has sums of %u rows, the input has %lld; compile the model again", w, split,
                          static_cast<long long>(shape.inputs));
    }
    return Status::Ok();
  }
  static size_t ScratchBytes(const Plan& plan, const LstmShape& shape, const RecurrentSplit& split, int threads) {
    const size_t input = plan.rows.bytes() + CodeGemmScratchBytes(plan.input, threads);
    const size_t recurrent = plan.state_bytes * static_cast<size_t>(split.count());
    return SumBytes(shape) + (input > recurrent ? input : recurrent);
  }

  CodeProducts(const RunContext& context, const Plan& plan, const LstmShape& shape, const RecurrentSplit&,
               const LstmWeights& weights, std::byte* scratch)
      : context_(context), plan_(plan), shape_(shape), scratch_(scratch + SumBytes(shape)), bias_(weights.bias) {
    input_ = QuadsOf(weights.w, shape.inputs + shape.units, shape.columns());
    state_ = input_;
    state_.first_group = shape.inputs / math::kQuad;
    const float* const all = input_.sums;
    float* const of_state = reinterpret_cast<float*>(scratch);
    input_.sums = all + shape.columns();
    for (int64_t i = 0; i < shape.columns(); ++i) of_state[i] = all[i] - input_.sums[i];
    state_.sums = of_state;
  }

  void Input(const float* x, int64_t count, float* gates) const {
    RowCodes rows = plan_.rows;
    rows.rows = count;
    const math::CodeGemmPlan plan = count == plan_.rows.rows ? plan_.input : PlanInput(context_, rows, shape_);
    context_.threads().ForRange(count, 1 + kQuantizeGrain / (rows.k + 1), [&](int64_t begin, int64_t end, int) {
      math::QuantizeRows(x + begin * rows.k, rows.k, end - begin, rows.k, 0, rows.planes, rows.codes(scratch_, begin),
                         rows.stride(), rows.scales(scratch_) + begin, context_.isa());
    });
    math::Epilogue epilogue;
    epilogue.bias = bias_;
    RunCodeGemm(context_, plan, rows.View(scratch_), input_, epilogue, gates, shape_.gate_stride(), scratch_ + rows.bytes());
  }

  class Part {
   public:
    Part(const CodeProducts& products, const RecurrentPart& part, int64_t index)
        : products_(products),
          part_(part),
          rows_(StateRows(products.shape_, part.rows(), products.plan_.rows.planes)),
          scratch_(products.scratch_ + products.plan_.state_bytes * static_cast<size_t>(index)) {
      const int64_t k = rows_.leading + rows_.k;
      plan_ = math::PlanCodeGemm(part.rows(), k, products.shape_.columns(), {rows_.planes, 1}, false, products.context_.isa(), 1);
    }
    // As FloatProducts::Part::Run; panels are handed to done(LstmCodeRow) if it takes them, to done(CodeGateSums) if not.
    template <class Done>
    void Run(const float* h, float* gates, bool falling, const Done& done) {
      const int64_t units = products_.shape_.units;
      const int64_t ldc = products_.shape_.gate_stride();
      math::QuantizeRows(h + part_.row_begin * units, units, part_.rows(), units, rows_.leading, rows_.planes,
                         rows_.codes(scratch_), rows_.stride(), rows_.scales(scratch_), products_.context_.isa());
      math::Epilogue add;
      add.accumulate = true;
      const math::CodeRows rows = rows_.View(scratch_);
      std::byte* const scratch = scratch_ + rows_.bytes();
      if (TakesPanels(part_, units)) {
        const float* const input = gates + part_.row_begin * ldc;
        const math::LstmCodeSums sums{nullptr, rows.planes, *rows.scales, products_.state_.scale, products_.state_.sums, input};
        const int64_t first = part_.unit_begin / math::kPanelColumns;
        const int64_t count = part_.units() / math::kPanelColumns;
        if (done(math::LstmCodeRow{part_.row_begin, first, count, falling, rows, products_.state_, sums})) return;
        math::CodeRowProduct row(rows, products_.state_, kLstmGates, units / math::kPanelColumns, products_.context_.isa());
        const auto product = [&](int64_t panel, int64_t, int32_t* sums) {
          FetchSums(input, units, kLstmGates, panel);
          row.Run(panel, sums);
        };
        CodeGateSums ready{part_.row_begin, 0, sums};
        ForEachPanel<int32_t>(part_, falling, product, [&](int64_t panel, const int32_t* sums) {
          ready.unit = panel * math::kPanelColumns;
          ready.sums.codes = sums;
          done(ready);
        });
        return;
      }
      for (int64_t gate = 0; gate < kLstmGates && plan_.tasks() > 0; ++gate) {
        plan_.panel_begin = (gate * units + part_.unit_begin) / math::kPanelColumns;
        plan_.panel_end = (gate * units + part_.unit_end) / math::kPanelColumns;
        math::RunCodeGemmTask(plan_, rows, products_.state_, add, gates + part_.row_begin * ldc, ldc, 0, scratch);
      }
      ForEachRow(part_, gates, ldc, units, done);
    }

   private:
    const CodeProducts& products_;
    RecurrentPart part_;
    RowCodes rows_;
    std::byte* scratch_;
    math::CodeGemmPlan plan_;
  };

 private:
  static math::CodeGemmPlan PlanInput(const KernelContext& context, const RowCodes& rows, const LstmShape& shape) {
    return math::PlanCodeGemm(rows.rows, rows.k, shape.columns(), {rows.planes, 1}, false, context.isa(), context.num_threads());
  }
  static RowCodes InputRows(const LstmShape& shape, int64_t rows, int planes) {
    RowCodes codes;
    codes.rows = rows;
    codes.k = shape.inputs;
    codes.planes = planes;
    return codes;
  }
  static RowCodes StateRows(const LstmShape& shape, int64_t rows, int planes) {
    RowCodes codes;
    codes.rows = rows;
    codes.k = shape.units;
    codes.leading = shape.inputs % math::kQuad;
    codes.planes = planes;
    return codes;
  }
  static size_t SumBytes(const LstmShape& shape) { return Align64(static_cast<size_t>(shape.columns()) * sizeof(float)); }

  const RunContext& context_;
  const Plan& plan_;
  const LstmShape& shape_;
  std::byte* scratch_;
  const float* bias_;
  math::QuadMatrix input_;
  math::QuadMatrix state_;
};

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_RNN_LSTM_PRODUCTS_H_
