// Sin: sine of x in radians, elementwise.
#include <cmath>

#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Sin_f32)
WHERRY_PREPARE(Sin_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Sin_f32) { return RunUnary<float, float>(context, [](float x) { return std::sin(x); }); }
#endif

}  // namespace wherry::kernels
