// Softplus: log(1 + exp(x)), elementwise, without overflow for large x.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Softplus_f32)
WHERRY_PREPARE(Softplus_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Softplus_f32) { return RunFunction(context, math::SoftplusOfFloats(context.isa())); }
#endif

}  // namespace wherry::kernels
