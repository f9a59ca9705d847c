// Relu6: min(max(x, 0), 6), elementwise. NaN passes through, as in TensorFlow.
#include "kernels/elementwise/activate.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Relu6_f32)
WHERRY_PREPARE(Relu6_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Relu6_f32) { return RunActivation(context, math::Activation::kRelu6); }
#endif

}  // namespace wherry::kernels
