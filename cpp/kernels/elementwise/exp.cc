// Exp: e to the power of x, elementwise.
#include "kernels/elementwise/unary.h"
#include "math/vmath.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Exp_f32)
WHERRY_PREPARE(Exp_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Exp_f32) { return RunUnary<float, float>(context, [](float x) { return math::Exp(x); }); }
#endif

}  // namespace wherry::kernels
