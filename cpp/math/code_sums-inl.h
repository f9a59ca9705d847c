// What sums of products of codes say without scales, for the functions that finish them. Included once for each instruction
// set, between HWY_BEFORE_NAMESPACE and HWY_AFTER_NAMESPACE; see math/dispatch.h.
//
// A's codes are zero + value / scale, so each sum holds zero times the column's sum of B too (QuadMatrix::sums). Codes of
// 16 bits were multiplied as two rows of bytes: their sums are joined, and zero's bytes have a share in each.
#if defined(WHERRY_MATH_CODE_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WHERRY_MATH_CODE_SUMS_INL_H_
#undef WHERRY_MATH_CODE_SUMS_INL_H_
#else
#define WHERRY_MATH_CODE_SUMS_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using CodeSumTag = hn::CappedTag<float, 16>;
using CodeSumTag32 = hn::Rebind<int32_t, CodeSumTag>;
using CodeSumVector = hn::Vec<CodeSumTag>;
using CodeSumVector32 = hn::Vec<CodeSumTag32>;

// The zero point's share of sums: of all, or of those of high bytes and of low ones.
template <int kPlanes>
HWY_INLINE CodeSumVector32 HighShift(int32_t zero, CodeSumVector32 sum_b) {
  return hn::Mul(hn::Set(CodeSumTag32(), kPlanes == 1 ? zero : zero >> 8), sum_b);
}
HWY_INLINE CodeSumVector32 LowShift(int32_t zero, CodeSumVector32 sum_b) {
  return hn::Mul(hn::Set(CodeSumTag32(), zero & 255), sum_b);
}

// Where zero is 0.
template <int kPlanes>
HWY_INLINE CodeSumVector JoinedSums(CodeSumVector32 high, [[maybe_unused]] CodeSumVector32 low) {
  const CodeSumTag d;
  const CodeSumVector sum = hn::ConvertTo(d, high);
  if constexpr (kPlanes == 1) return sum;
  return hn::MulAdd(sum, hn::Set(d, 256.0F), hn::ConvertTo(d, low));  // the product is exact, however it is rounded
}

// low and low_shift are those of low bytes; not looked at where codes have one plane.
template <int kPlanes>
HWY_INLINE CodeSumVector JoinedSums(CodeSumVector32 high, CodeSumVector32 high_shift,
                                    [[maybe_unused]] CodeSumVector32 low,
                                    [[maybe_unused]] CodeSumVector32 low_shift) {
  if constexpr (kPlanes == 1) return JoinedSums<1>(hn::Sub(high, high_shift), low);
  return JoinedSums<kPlanes>(hn::Sub(high, high_shift), hn::Sub(low, low_shift));
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
