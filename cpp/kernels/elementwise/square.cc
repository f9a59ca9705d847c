// Square: x * x, elementwise; integers wrap.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Square_f32)
WHERRY_PREPARE(Square_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Square_f32) { return RunUnary<float, float>(context, [](float x) { return x * x; }); }
#endif

#if WHERRY_SELECTED(Square_i32)
WHERRY_PREPARE(Square_i32) { return PrepareUnary(context, DType::kI32, DType::kI32); }
WHERRY_RUN(Square_i32) {
  return RunUnary<int32_t, int32_t>(
      context, [](int32_t x) { return static_cast<int32_t>(static_cast<uint32_t>(x) * static_cast<uint32_t>(x)); });
}
#endif

}  // namespace wherry::kernels
