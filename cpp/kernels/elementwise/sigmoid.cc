// Sigmoid: 1 / (1 + exp(-x)), elementwise.
#include "kernels/elementwise/activate.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Sigmoid_f32)
WHERRY_PREPARE(Sigmoid_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Sigmoid_f32) { return RunActivation(context, math::Activation::kSigmoid); }
#endif

}  // namespace wherry::kernels
