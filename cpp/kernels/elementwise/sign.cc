// Sign: -1, 0 or 1, elementwise; NaN stays NaN.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Sign_f32)
WHERRY_PREPARE(Sign_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Sign_f32) {
  return RunUnary<float, float>(context, [](float x) { return x > 0.0F ? 1.0F : (x < 0.0F ? -1.0F : x); });
}
#endif

#if WHERRY_SELECTED(Sign_i32)
WHERRY_PREPARE(Sign_i32) { return PrepareUnary(context, DType::kI32, DType::kI32); }
WHERRY_RUN(Sign_i32) {
  return RunUnary<int32_t, int32_t>(context, [](int32_t x) { return x > 0 ? 1 : (x < 0 ? -1 : 0); });
}
#endif

}  // namespace wherry::kernels
