// The products of an LSTM at batch 1 whose float32 weights of the state take 28 bits each (math/float28.h): a step reads an
// eighth less from where it waits for its weights, and gives the bits that it gives with float32 panels.
//
// w [inputs + units, 4 * units], units a multiple of 16: the input's rows in panels of float32, [4 * units / 16][inputs][16];
// then 64 bytes that begin with the exponent's upper bits; then which groups are plain, filled up to 64 bytes; then groups.
#ifndef WHERRY_KERNELS_RNN_LSTM_FLOAT28_H_
#define WHERRY_KERNELS_RNN_LSTM_FLOAT28_H_

#include <cstring>

#include "kernels/panels.h"
#include "kernels/rnn/lstm.h"
#include "math/float28.h"

namespace wherry::kernels {

class Float28Products {
 public:
  struct Plan {
    LstmInput::Plan input;
  };

  static Status Prepare(const PrepareContext& context, int w, WeightFormat format, const LstmShape& shape,
                        const RecurrentSplit&, Plan* plan) {
    const Tensor& tensor = context.input(w);
    if (tensor.layout != Layout::kPanels || tensor.quant.format != format) {
      return context.Fail(Code::kCorrupt, "weight %d is not stored in this kernel's format", w);
    }
    if (shape.batch != 1 || shape.units % math::kPanelColumns != 0) {
      return context.Fail(Code::kCorrupt, "weights of 28 bits need batch 1 and a multiple of 16 units; compile the layer again");
    }
    if (tensor.bytes < Parts(shape).groups) {
      return context.Fail(Code::kCorrupt, "weight %d does not have the bytes of its size", w);
    }
    plan->input = LstmInput::Prepare(context, shape, false);
    return Status::Ok();
  }
  static size_t ScratchBytes(const Plan& plan, const LstmShape& shape, const RecurrentSplit&, int threads) {
    return StartsBytes(shape) + plan.input.scratch_bytes(threads);
  }

  // Whether w has all groups that it says it has, which only its data tell.
  static Status Check(const RunContext& context, int w) {
    const LstmShape& shape = context.params<LstmParams<Float28Products>>();
    const Tensor& tensor = context.input(w);
    const Parts parts(shape);
    const auto groups = static_cast<uint64_t>(math::FindFloat28Panels(StateOf(tensor, shape), nullptr));
    if (tensor.bytes - parts.groups != groups) {
      return context.Fail(Code::kCorrupt, "weight %d does not have the groups of its size", w);
    }
    return Status::Ok();
  }

  Float28Products(const RunContext& context, const Plan& plan, const LstmShape& shape, const RecurrentSplit&,
                  const LstmWeights& weights, std::byte* scratch)
      : context_(context), plan_(plan), shape_(shape), scratch_(scratch + StartsBytes(shape)), bias_(weights.bias) {
    input_.data = weights.w.data;
    input_.k = shape.inputs;
    input_.n = shape.columns();
    state_ = StateOf(weights.w, shape);
    int64_t* const starts = reinterpret_cast<int64_t*>(scratch);
    math::FindFloat28Panels(state_, starts);
    state_.starts = starts;
  }

  // As FloatProducts::Input.
  void Input(const float* x, int64_t rows, float* gates) const {
    LstmInput::Run(context_, plan_.input, x, rows, input_, bias_, gates, shape_.gate_stride(), scratch_);
  }

  class Part {
   public:
    Part(const Float28Products& products, const RecurrentPart& part, int64_t) : products_(products), part_(part) {}
    // As FloatProducts::Part::Run.
    template <class Done>
    void Run(const float* h, float* gates, bool falling, const Done& done) {
      const auto product = [&](int64_t panel, float* sums) {
        math::AddFloat28Row(h, products_.state_, panel, sums, products_.context_.isa());
      };
      ForEachFloatPanel(part_, products_.shape_.units, kLstmGates, gates, falling, product, done);
    }

   private:
    const Float28Products& products_;
    RecurrentPart part_;
  };

 private:
  static_assert(kLstmGates == math::kFloat28Gates && math::kPanelColumns == math::kFloat28PanelUnits);

  // Bytes from w's start to each of its parts.
  struct Parts {
    size_t exponent;
    size_t plain;
    size_t groups;

    explicit Parts(const LstmShape& shape) {
      exponent = static_cast<size_t>(shape.inputs * shape.columns()) * sizeof(float);
      plain = exponent + 64;
      groups = plain + Align64(static_cast<size_t>((shape.units / math::kPanelColumns) * (shape.units / math::kFloat28Rows)));
    }
  };
  static math::Float28Matrix StateOf(const Tensor& w, const LstmShape& shape) {
    const Parts parts(shape);
    const std::byte* const data = w.as<const std::byte>();
    math::Float28Matrix state;
    state.units = shape.units;
    std::memcpy(&state.exponent, data + parts.exponent, sizeof(state.exponent));
    state.plain = reinterpret_cast<const uint8_t*>(data + parts.plain);
    state.groups = data + parts.groups;
    return state;
  }
  static size_t StartsBytes(const LstmShape& shape) {
    return Align64(static_cast<size_t>(shape.columns() / math::kPanelColumns) * sizeof(int64_t));
  }

  const RunContext& context_;
  const Plan& plan_;
  const LstmShape& shape_;
  std::byte* scratch_;
  const float* bias_;
  math::PanelMatrix input_;
  math::Float28Matrix state_;
};

inline Status RunFloat28Lstm(RunContext& context, const LstmOp& op) {
  WHERRY_RETURN_IF_ERROR(Float28Products::Check(context, op.sequence ? 4 : 3));
  return RunLstm<Float28Products>(context, op, nullptr);
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_RNN_LSTM_FLOAT28_H_
