// Softsign: x / (1 + |x|), elementwise.
#include <cmath>

#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Softsign_f32)
WHERRY_PREPARE(Softsign_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Softsign_f32) { return RunUnary<float, float>(context, [](float x) { return x / (1.0F + std::abs(x)); }); }
#endif

}  // namespace wherry::kernels
