// Floor: the whole number at or below x, elementwise.
#include <cmath>

#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Floor_f32)
WHERRY_PREPARE(Floor_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Floor_f32) { return RunUnary<float, float>(context, [](float x) { return std::floor(x); }); }
#endif

}  // namespace wherry::kernels
