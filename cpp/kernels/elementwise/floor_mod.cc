// FloorMod: the remainder of x / y with y's sign, elementwise with broadcasting.
#include <cmath>

#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

namespace {

// y is not 0.
template <typename T>
T FloorModulo(T x, T y) {
  if (y == -1) return 0;
  const T remainder = x % y;
  return remainder != 0 && (remainder < 0) != (y < 0) ? remainder + y : remainder;
}

[[maybe_unused]] float FloorModulo(float x, float y) {
  const float remainder = std::fmod(x, y);
  return remainder != 0.0F && (remainder < 0.0F) != (y < 0.0F) ? remainder + y : remainder;
}

}  // namespace

#if WHERRY_SELECTED(FloorMod_f32)
WHERRY_PREPARE(FloorMod_f32) { return PrepareBinary<float, float>(context); }
WHERRY_RUN(FloorMod_f32) {
  return RunBinaryScalars<float>(context, [](float x, float y) { return FloorModulo(x, y); });
}
#endif

#if WHERRY_SELECTED(FloorMod_i32)
WHERRY_PREPARE(FloorMod_i32) { return PrepareBinary<int32_t, int32_t>(context); }
WHERRY_RUN(FloorMod_i32) {
  WHERRY_RETURN_IF_ERROR(ExpectNoZeroDivisor<int32_t>(context));
  return RunBinaryScalars<int32_t>(context, [](int32_t x, int32_t y) { return FloorModulo(x, y); });
}
#endif

#if WHERRY_SELECTED(FloorMod_i64)
WHERRY_PREPARE(FloorMod_i64) { return PrepareBinary<int64_t, int64_t>(context); }
WHERRY_RUN(FloorMod_i64) {
  WHERRY_RETURN_IF_ERROR(ExpectNoZeroDivisor<int64_t>(context));
  return RunBinaryScalars<int64_t>(context, [](int64_t x, int64_t y) { return FloorModulo(x, y); });
}
#endif

}  // namespace wherry::kernels
