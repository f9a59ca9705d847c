// Round and Rint: the nearest whole number, halves to the even one, elementwise.
#include <cmath>

#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Round_f32)
WHERRY_PREPARE(Round_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Round_f32) { return RunUnary<float, float>(context, [](float x) { return std::nearbyint(x); }); }
#endif

}  // namespace wherry::kernels
