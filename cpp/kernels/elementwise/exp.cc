// Exp: e to the power of x, elementwise.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Exp_f32)
WHERRY_PREPARE(Exp_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Exp_f32) { return RunFunction(context, math::ExpOfFloats(context.isa())); }
#endif

}  // namespace wherry::kernels
