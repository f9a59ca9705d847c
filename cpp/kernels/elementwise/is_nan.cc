// IsNan: whether x is not a number, elementwise.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(IsNan_f32)
WHERRY_PREPARE(IsNan_f32) { return PrepareUnary(context, DType::kF32, DType::kBool); }
WHERRY_RUN(IsNan_f32) { return RunUnary<float, bool>(context, [](float x) { return x != x; }); }
#endif

}  // namespace wherry::kernels
