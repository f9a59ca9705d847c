// Log1p: log(1 + x), elementwise, accurate near 0.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Log1p_f32)
WHERRY_PREPARE(Log1p_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Log1p_f32) { return RunFunction(context, math::Log1pOfFloats(context.isa())); }
#endif

}  // namespace wherry::kernels
