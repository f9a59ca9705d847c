// Bias and activation that a product or convolution applies to its results: an optional last input, and the attributes
// "activation" and "leakyrelu_alpha".
#ifndef WHERRY_KERNELS_NN_FUSED_H_
#define WHERRY_KERNELS_NN_FUSED_H_

#include "kernels/shape.h"
#include "math/gemm.h"
#include "runtime/kernel.h"

namespace wherry::kernels {

struct Fused {
  math::Activation activation = math::Activation::kNone;
  bool has_bias = false;
  float alpha = 0.0F;
};

inline bool FindActivation(StringView name, math::Activation* activation) {
  struct Named {
    const char* name;
    math::Activation activation;
  };
  static constexpr Named kNames[] = {
      {"", math::Activation::kNone},           {"Relu", math::Activation::kRelu},
      {"Relu6", math::Activation::kRelu6},     {"LeakyRelu", math::Activation::kLeakyRelu},
      {"Elu", math::Activation::kElu},         {"Tanh", math::Activation::kTanh},
      {"Sigmoid", math::Activation::kSigmoid}, {"Swish", math::Activation::kSwish},
      {"HardSwish", math::Activation::kHardSwish},
  };
  for (const Named& named : kNames) {
    if (name == StringView(named.name)) {
      *activation = named.activation;
      return true;
    }
  }
  return false;
}

// Checks that there are `inputs` inputs, or one more: a bias with one value for each channel. One output.
inline Status ReadFused(const PrepareContext& context, int inputs, int64_t channels, Fused* fused) {
  fused->has_bias = context.num_inputs() == inputs + 1;
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(inputs + (fused->has_bias ? 1 : 0), 1));
  if (fused->has_bias) {
    WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, inputs, DType::kF32));
    const Tensor& bias = context.input(inputs);
    if (bias.rank != 1 || bias.dim(0) != channels) {
      return context.Fail(Code::kCorrupt, "bias must have %lld values", static_cast<long long>(channels));
    }
  }
  const StringView name = context.attrs().String("activation", "");
  if (!FindActivation(name, &fused->activation)) {
    return context.Fail(Code::kCorrupt, "activation '%.*s' is unknown", static_cast<int>(name.size), name.data);
  }
  fused->alpha = static_cast<float>(context.attrs().Float("leakyrelu_alpha", 0.2));
  return Status::Ok();
}

// The epilogue of a product whose bias, if any, is input `inputs`.
inline math::Epilogue EpilogueOf(const RunContext& context, const Fused& fused, int inputs) {
  math::Epilogue epilogue;
  epilogue.bias = fused.has_bias ? context.input(inputs).as<const float>() : nullptr;
  epilogue.activation = fused.activation;
  epilogue.alpha = fused.alpha;
  return epilogue;
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_NN_FUSED_H_
