// Reciprocal and Inv: 1 / x, elementwise.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Reciprocal_f32)
WHERRY_PREPARE(Reciprocal_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Reciprocal_f32) { return RunUnary<float, float>(context, [](float x) { return 1.0F / x; }); }
#endif

}  // namespace wherry::kernels
