// Cast between element types, elementwise. Floats lose their fraction; what an integer type cannot hold becomes its
// most negative value (uint8: the low byte of that), as TensorFlow does on x86 and no other CPU does by itself.
#include "kernels/elementwise/unary.h"
#include "math/half.h"

namespace wherry::kernels {

namespace {

template <typename To>
To Convert(float x) {
  if constexpr (kDTypeOf<To> == DType::kI32 || kDTypeOf<To> == DType::kI64) {
    // The first float above the range is 2^31 or 2^63, exact; NaN fails both comparisons.
    constexpr float kLimit = sizeof(To) == 4 ? 0x1p31F : 0x1p63F;
    constexpr To kLowest = static_cast<To>(To{1} << (8 * sizeof(To) - 1));
    return x >= -kLimit && x < kLimit ? static_cast<To>(x) : kLowest;
  } else if constexpr (kDTypeOf<To> == DType::kU8) {
    return static_cast<uint8_t>(Convert<int32_t>(x));
  } else if constexpr (kDTypeOf<To> == DType::kBool) {
    return x != 0.0F;
  } else if constexpr (kDTypeOf<To> == DType::kF16) {
    return Half{math::FloatToHalf(x)};
  } else {
    return static_cast<To>(x);
  }
}

template <typename To>
To Convert(Half x) {
  return Convert<To>(math::HalfToFloat(x.bits));
}

template <typename To, typename From>
To Convert(From x) {
  if constexpr (kDTypeOf<To> == DType::kBool) {
    return x != From{0};
  } else {
    return static_cast<To>(x);
  }
}

template <typename From, typename To>
Status RunCast(RunContext& context) {
  return RunUnary<From, To>(context, [](From x) { return Convert<To>(x); });
}

}  // namespace

#if WHERRY_SELECTED(Cast_f32_i32)
WHERRY_PREPARE(Cast_f32_i32) { return PrepareUnary(context, kDTypeOf<float>, kDTypeOf<int32_t>); }
WHERRY_RUN(Cast_f32_i32) { return RunCast<float, int32_t>(context); }
#endif

#if WHERRY_SELECTED(Cast_f32_i64)
WHERRY_PREPARE(Cast_f32_i64) { return PrepareUnary(context, kDTypeOf<float>, kDTypeOf<int64_t>); }
WHERRY_RUN(Cast_f32_i64) { return RunCast<float, int64_t>(context); }
#endif

#if WHERRY_SELECTED(Cast_f32_b1)
WHERRY_PREPARE(Cast_f32_b1) { return PrepareUnary(context, kDTypeOf<float>, kDTypeOf<bool>); }
WHERRY_RUN(Cast_f32_b1) { return RunCast<float, bool>(context); }
#endif

#if WHERRY_SELECTED(Cast_f32_u8)
WHERRY_PREPARE(Cast_f32_u8) { return PrepareUnary(context, kDTypeOf<float>, kDTypeOf<uint8_t>); }
WHERRY_RUN(Cast_f32_u8) { return RunCast<float, uint8_t>(context); }
#endif

#if WHERRY_SELECTED(Cast_f32_f16)
WHERRY_PREPARE(Cast_f32_f16) { return PrepareUnary(context, kDTypeOf<float>, kDTypeOf<Half>); }
WHERRY_RUN(Cast_f32_f16) { return RunCast<float, Half>(context); }
#endif

#if WHERRY_SELECTED(Cast_f32_f64)
WHERRY_PREPARE(Cast_f32_f64) { return PrepareUnary(context, kDTypeOf<float>, kDTypeOf<double>); }
WHERRY_RUN(Cast_f32_f64) { return RunCast<float, double>(context); }
#endif

#if WHERRY_SELECTED(Cast_f64_f32)
WHERRY_PREPARE(Cast_f64_f32) { return PrepareUnary(context, kDTypeOf<double>, kDTypeOf<float>); }
WHERRY_RUN(Cast_f64_f32) { return RunCast<double, float>(context); }
#endif

#if WHERRY_SELECTED(Cast_f16_f32)
WHERRY_PREPARE(Cast_f16_f32) { return PrepareUnary(context, kDTypeOf<Half>, kDTypeOf<float>); }
WHERRY_RUN(Cast_f16_f32) { return RunCast<Half, float>(context); }
#endif

#if WHERRY_SELECTED(Cast_i32_f32)
WHERRY_PREPARE(Cast_i32_f32) { return PrepareUnary(context, kDTypeOf<int32_t>, kDTypeOf<float>); }
WHERRY_RUN(Cast_i32_f32) { return RunCast<int32_t, float>(context); }
#endif

#if WHERRY_SELECTED(Cast_i32_i64)
WHERRY_PREPARE(Cast_i32_i64) { return PrepareUnary(context, kDTypeOf<int32_t>, kDTypeOf<int64_t>); }
WHERRY_RUN(Cast_i32_i64) { return RunCast<int32_t, int64_t>(context); }
#endif

#if WHERRY_SELECTED(Cast_i32_b1)
WHERRY_PREPARE(Cast_i32_b1) { return PrepareUnary(context, kDTypeOf<int32_t>, kDTypeOf<bool>); }
WHERRY_RUN(Cast_i32_b1) { return RunCast<int32_t, bool>(context); }
#endif

#if WHERRY_SELECTED(Cast_i32_u8)
WHERRY_PREPARE(Cast_i32_u8) { return PrepareUnary(context, kDTypeOf<int32_t>, kDTypeOf<uint8_t>); }
WHERRY_RUN(Cast_i32_u8) { return RunCast<int32_t, uint8_t>(context); }
#endif

#if WHERRY_SELECTED(Cast_i64_f32)
WHERRY_PREPARE(Cast_i64_f32) { return PrepareUnary(context, kDTypeOf<int64_t>, kDTypeOf<float>); }
WHERRY_RUN(Cast_i64_f32) { return RunCast<int64_t, float>(context); }
#endif

#if WHERRY_SELECTED(Cast_i64_i32)
WHERRY_PREPARE(Cast_i64_i32) { return PrepareUnary(context, kDTypeOf<int64_t>, kDTypeOf<int32_t>); }
WHERRY_RUN(Cast_i64_i32) { return RunCast<int64_t, int32_t>(context); }
#endif

#if WHERRY_SELECTED(Cast_i64_b1)
WHERRY_PREPARE(Cast_i64_b1) { return PrepareUnary(context, kDTypeOf<int64_t>, kDTypeOf<bool>); }
WHERRY_RUN(Cast_i64_b1) { return RunCast<int64_t, bool>(context); }
#endif

#if WHERRY_SELECTED(Cast_u8_f32)
WHERRY_PREPARE(Cast_u8_f32) { return PrepareUnary(context, kDTypeOf<uint8_t>, kDTypeOf<float>); }
WHERRY_RUN(Cast_u8_f32) { return RunCast<uint8_t, float>(context); }
#endif

#if WHERRY_SELECTED(Cast_u8_i32)
WHERRY_PREPARE(Cast_u8_i32) { return PrepareUnary(context, kDTypeOf<uint8_t>, kDTypeOf<int32_t>); }
WHERRY_RUN(Cast_u8_i32) { return RunCast<uint8_t, int32_t>(context); }
#endif

#if WHERRY_SELECTED(Cast_i8_f32)
WHERRY_PREPARE(Cast_i8_f32) { return PrepareUnary(context, kDTypeOf<int8_t>, kDTypeOf<float>); }
WHERRY_RUN(Cast_i8_f32) { return RunCast<int8_t, float>(context); }
#endif

#if WHERRY_SELECTED(Cast_b1_f32)
WHERRY_PREPARE(Cast_b1_f32) { return PrepareUnary(context, kDTypeOf<bool>, kDTypeOf<float>); }
WHERRY_RUN(Cast_b1_f32) { return RunCast<bool, float>(context); }
#endif

#if WHERRY_SELECTED(Cast_b1_i32)
WHERRY_PREPARE(Cast_b1_i32) { return PrepareUnary(context, kDTypeOf<bool>, kDTypeOf<int32_t>); }
WHERRY_RUN(Cast_b1_i32) { return RunCast<bool, int32_t>(context); }
#endif

#if WHERRY_SELECTED(Cast_b1_i64)
WHERRY_PREPARE(Cast_b1_i64) { return PrepareUnary(context, kDTypeOf<bool>, kDTypeOf<int64_t>); }
WHERRY_RUN(Cast_b1_i64) { return RunCast<bool, int64_t>(context); }
#endif

}  // namespace wherry::kernels
