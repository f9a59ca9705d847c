// Erf: the error function, elementwise.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Erf_f32)
WHERRY_PREPARE(Erf_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Erf_f32) { return RunFunction(context, math::ErfOfFloats(context.isa())); }
#endif

}  // namespace wherry::kernels
