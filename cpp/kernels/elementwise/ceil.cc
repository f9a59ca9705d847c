// Ceil: the whole number at or above x, elementwise.
#include <cmath>

#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Ceil_f32)
WHERRY_PREPARE(Ceil_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Ceil_f32) { return RunUnary<float, float>(context, [](float x) { return std::ceil(x); }); }
#endif

}  // namespace wherry::kernels
