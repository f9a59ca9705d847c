// Log: natural logarithm, elementwise; NaN below 0.
#include <cmath>

#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Log_f32)
WHERRY_PREPARE(Log_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Log_f32) { return RunUnary<float, float>(context, [](float x) { return std::log(x); }); }
#endif

}  // namespace wherry::kernels
