// Tanh: hyperbolic tangent, elementwise.
#include "kernels/elementwise/activate.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Tanh_f32)
WHERRY_PREPARE(Tanh_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Tanh_f32) { return RunActivation(context, math::Activation::kTanh); }
#endif

}  // namespace wherry::kernels
