// Log: natural logarithm, elementwise; NaN below 0.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Log_f32)
WHERRY_PREPARE(Log_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Log_f32) { return RunFunction(context, math::LogOfFloats(context.isa())); }
#endif

}  // namespace wherry::kernels
