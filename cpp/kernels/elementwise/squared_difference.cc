// SquaredDifference: (x - y)^2, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(SquaredDifference_f32)
WHERRY_PREPARE(SquaredDifference_f32) { return PrepareBinary<float, float>(context); }
WHERRY_RUN(SquaredDifference_f32) {
  return RunBinary<float, float>(context, [](float x, float y) { return (x - y) * (x - y); });
}
#endif

#if WHERRY_SELECTED(SquaredDifference_i32)
WHERRY_PREPARE(SquaredDifference_i32) { return PrepareBinary<int32_t, int32_t>(context); }
WHERRY_RUN(SquaredDifference_i32) {
  return RunBinary<int32_t, int32_t>(
      context, [](int32_t x, int32_t y) { return WrapMul(WrapSub(x, y), WrapSub(x, y)); });
}
#endif

}  // namespace wherry::kernels
