// Rsqrt: 1 / sqrt(x), elementwise.
#include <cmath>

#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Rsqrt_f32)
WHERRY_PREPARE(Rsqrt_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Rsqrt_f32) { return RunUnary<float, float>(context, [](float x) { return 1.0F / std::sqrt(x); }); }
#endif

}  // namespace wherry::kernels
