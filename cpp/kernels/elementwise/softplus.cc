// Softplus: log(1 + exp(x)), elementwise, without overflow for large x.
#include <cmath>

#include "kernels/elementwise/unary.h"
#include "math/vmath.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Softplus_f32)
WHERRY_PREPARE(Softplus_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Softplus_f32) {
  return RunUnary<float, float>(
      context, [](float x) { return (x > 0.0F ? x : 0.0F) + std::log1p(math::Exp(-std::abs(x))); });
}
#endif

}  // namespace wherry::kernels
