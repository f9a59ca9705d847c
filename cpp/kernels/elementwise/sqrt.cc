// Sqrt: square root, elementwise; NaN below 0.
#include <cmath>

#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Sqrt_f32)
WHERRY_PREPARE(Sqrt_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Sqrt_f32) { return RunUnary<float, float>(context, [](float x) { return std::sqrt(x); }); }
#endif

}  // namespace wherry::kernels
