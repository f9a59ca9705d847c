// Expm1: exp(x) - 1, elementwise, accurate near 0.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Expm1_f32)
WHERRY_PREPARE(Expm1_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Expm1_f32) { return RunFunction(context, math::Expm1OfFloats(context.isa())); }
#endif

}  // namespace wherry::kernels
