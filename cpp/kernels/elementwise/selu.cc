// Selu: the self-normalising Elu of Klambauer et al. 2017, elementwise.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Selu_f32)
WHERRY_PREPARE(Selu_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Selu_f32) { return RunFunction(context, math::SeluOfFloats(context.isa())); }
#endif

}  // namespace wherry::kernels
