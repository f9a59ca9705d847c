// Bias, residual and activation that a product or convolution applies to its results: last inputs, and the attributes
// "activation" and "leakyrelu_alpha". And which columns of the output it computes: the compiler cuts a large layer into
// steps that each have some columns of its weight and bias (python/wherry/plan/slices.py).
#ifndef WHERRY_KERNELS_NN_FUSED_H_
#define WHERRY_KERNELS_NN_FUSED_H_

#include "kernels/shape.h"
#include "math/gemm.h"
#include "runtime/kernel.h"
#include "runtime/pack_format.h"

namespace wherry::kernels {

struct Fused {
  math::Activation activation = math::Activation::kNone;
  bool has_bias = false;
  bool has_residual = false;
  float alpha = 0.0F;
  int64_t first_column = 0;  // of the output
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
      {"HardSwish", math::Activation::kHardSwish}, {"FastSwish", math::Activation::kFastSwish},
  };
  for (const Named& named : kNames) {
    if (name == StringView(named.name)) {
      *activation = named.activation;
      return true;
    }
  }
  return false;
}

inline Status ExpectBias(const PrepareContext& context, int i, int64_t channels) {
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, i, DType::kF32));
  const Tensor& bias = context.input(i);
  if (bias.rank != 1 || bias.dim(0) != channels) {
    return context.Fail(Code::kCorrupt, "bias must have %lld values", static_cast<long long>(channels));
  }
  return Status::Ok();
}

inline Status ReadActivation(const PrepareContext& context, Fused* fused) {
  const StringView name = context.attrs().String("activation", "");
  if (!FindActivation(name, &fused->activation)) {
    return context.Fail(Code::kCorrupt, "activation '%.*s' is unknown", static_cast<int>(name.size), name.data);
  }
  fused->alpha = static_cast<float>(context.attrs().Float("leakyrelu_alpha", 0.2));
  return Status::Ok();
}

// Reads which columns of output 0 are computed, for a weight that has `columns` of them: all, unless the attribute says
// where they begin.
inline Status ReadColumns(const PrepareContext& context, int64_t columns, int64_t* first) {
  const Tensor& out = context.output(0);
  const int64_t all = out.rank > 0 ? out.dim(out.rank - 1) : 0;
  const bool some = context.attrs().Find(format::kFirstColumn, AttrKind::kInt) != nullptr;
  *first = context.attrs().Int(format::kFirstColumn, 0);
  if (some ? *first < 0 || *first > all || columns > all - *first : columns != all) {
    return context.Fail(Code::kCorrupt, "the weight's %lld columns do not fit the output's %lld from %lld on",
                        static_cast<long long>(columns), static_cast<long long>(all), static_cast<long long>(*first));
  }
  return Status::Ok();
}

// Where the columns that are computed begin in output 0.
template <typename T>
T* ColumnsOut(const RunContext& context, const Fused& fused) {
  return context.output(0).as<T>() + fused.first_column;
}

// From one row of output 0 to the next.
inline int64_t RowStride(const KernelContext& context) { return context.output(0).pitch; }

// Checks that there are `inputs` inputs, or one more: a bias with one value for each channel. One output.
inline Status ReadFused(const PrepareContext& context, int inputs, int64_t channels, Fused* fused) {
  fused->has_bias = context.num_inputs() == inputs + 1;
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(inputs + (fused->has_bias ? 1 : 0), 1));
  if (fused->has_bias) WHERRY_RETURN_IF_ERROR(ExpectBias(context, inputs, channels));
  return ReadActivation(context, fused);
}

// As ReadFused, where a bias and a residual of the output's shape follow the `inputs` inputs.
inline Status ReadFusedAdd(const PrepareContext& context, int inputs, int64_t channels, Fused* fused) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(inputs + 2, 1));
  fused->has_bias = fused->has_residual = true;
  WHERRY_RETURN_IF_ERROR(ExpectBias(context, inputs, channels));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, inputs + 1, DType::kF32));
  if (!context.input(inputs + 1).SameShape(context.output(0))) {
    return context.Fail(Code::kCorrupt, "what is added must have the shape of the output");
  }
  return ReadActivation(context, fused);
}

// The epilogue of a product whose bias, if any, is input `inputs`, and whose residual, if any, comes next.
inline math::Epilogue EpilogueOf(const RunContext& context, const Fused& fused, int inputs) {
  math::Epilogue epilogue;
  epilogue.bias = fused.has_bias ? context.input(inputs).as<const float>() : nullptr;
  epilogue.residual = fused.has_residual ? context.input(inputs + 1).as<const float>() + fused.first_column : nullptr;
  epilogue.activation = fused.activation;
  epilogue.alpha = fused.alpha;
  return epilogue;
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_NN_FUSED_H_
