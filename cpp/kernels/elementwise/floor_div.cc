// FloorDiv: x / y rounded down, elementwise with broadcasting.
#include <type_traits>

#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

namespace {

// y is not 0. The most negative integer divided by -1 stays, as in TensorFlow.
template <typename T>
T FloorDivide(T x, T y) {
  using Unsigned = std::make_unsigned_t<T>;
  if (y == -1) return static_cast<T>(Unsigned{0} - static_cast<Unsigned>(x));
  const T quotient = x / y;
  return x % y != 0 && (x < 0) != (y < 0) ? quotient - 1 : quotient;
}

}  // namespace

#if WHERRY_SELECTED(FloorDiv_f32)
WHERRY_PREPARE(FloorDiv_f32) { return PrepareBinary<BinaryOp::kFloorDiv, float>(context); }
WHERRY_RUN(FloorDiv_f32) { return RunBinary<BinaryOp::kFloorDiv, float>(context); }
#endif

#if WHERRY_SELECTED(FloorDiv_i32)
WHERRY_PREPARE(FloorDiv_i32) { return PrepareBinary<int32_t, int32_t>(context); }
WHERRY_RUN(FloorDiv_i32) {
  WHERRY_RETURN_IF_ERROR(ExpectNoZeroDivisor<int32_t>(context));
  return RunBinaryScalars<int32_t>(context, [](int32_t x, int32_t y) { return FloorDivide(x, y); });
}
#endif

#if WHERRY_SELECTED(FloorDiv_i64)
WHERRY_PREPARE(FloorDiv_i64) { return PrepareBinary<int64_t, int64_t>(context); }
WHERRY_RUN(FloorDiv_i64) {
  WHERRY_RETURN_IF_ERROR(ExpectNoZeroDivisor<int64_t>(context));
  return RunBinaryScalars<int64_t>(context, [](int64_t x, int64_t y) { return FloorDivide(x, y); });
}
#endif

}  // namespace wherry::kernels
