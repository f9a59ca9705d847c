// Elu: x where x >= 0, else exp(x) - 1, elementwise; accurate near 0, where TensorFlow's subtraction cancels.
#include "kernels/elementwise/activate.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Elu_f32)
WHERRY_PREPARE(Elu_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Elu_f32) { return RunActivation(context, math::Activation::kElu); }
#endif

}  // namespace wherry::kernels
