// Abs: |x|, elementwise; the most negative integer stays.
#include <cmath>

#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Abs_f32)
WHERRY_PREPARE(Abs_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Abs_f32) { return RunUnary<float, float>(context, [](float x) { return std::abs(x); }); }
#endif

#if WHERRY_SELECTED(Abs_i32)
WHERRY_PREPARE(Abs_i32) { return PrepareUnary(context, DType::kI32, DType::kI32); }
WHERRY_RUN(Abs_i32) {
  return RunUnary<int32_t, int32_t>(
      context, [](int32_t x) { return x < 0 ? static_cast<int32_t>(0U - static_cast<uint32_t>(x)) : x; });
}
#endif

}  // namespace wherry::kernels
