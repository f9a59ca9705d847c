// What loops that compute with 8-bit codes share: rounding to codes, and sums of products of four. Included once for each
// instruction set, between HWY_BEFORE_NAMESPACE and HWY_AFTER_NAMESPACE; see math/dispatch.h.
#if defined(WHERRY_MATH_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WHERRY_MATH_CODES_INL_H_
#undef WHERRY_MATH_CODES_INL_H_
#else
#define WHERRY_MATH_CODES_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Nearest whole numbers, halves to even, of values below 2^31; those below -2^31 become -2^31. hn::NearestInt spends two
// more instructions on those above.
template <class V>
HWY_INLINE hn::Vec<hn::RebindToSigned<hn::DFromV<V>>> RoundInRange(V value) {
  const hn::RebindToSigned<hn::DFromV<V>> d32;
  using Whole [[maybe_unused]] = hn::Vec<decltype(d32)>;
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
  if constexpr (hn::MaxLanes(d32) == 16) {
    return Whole{_mm512_cvtps_epi32(value.raw)};
  } else if constexpr (hn::MaxLanes(d32) == 8) {
    return Whole{_mm256_cvtps_epi32(value.raw)};
  } else {
    return Whole{_mm_cvtps_epi32(value.raw)};
  }
#elif HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
  if constexpr (hn::MaxLanes(d32) == 8) {
    return Whole{_mm256_cvtps_epi32(value.raw)};
  } else {
    return Whole{_mm_cvtps_epi32(value.raw)};
  }
#elif HWY_TARGET <= HWY_SSE2 && HWY_ARCH_X86
  return Whole{_mm_cvtps_epi32(value.raw)};
#else
  return hn::NearestInt(value);
#endif
}

// A value that no code reaches. Results are cut to it before they are rounded; what is too far below 0 for int32 becomes
// its smallest number, which is right, but what is too far above would too.
inline constexpr float kBeyondCodes = 65536.0F;

// Four vectors of values to one of codes, cut to 0 .. 255. Lanes of each block of 16 bytes come from the same block of
// the four, in order: what InterleaveLower and InterleaveUpper took apart comes together again.
template <class DU8, class VF>
HWY_INLINE hn::Vec<DU8> CodesOf(DU8 d8, VF v0, VF v1, VF v2, VF v3) {
  const hn::Repartition<int16_t, DU8> d16;
  const hn::DFromV<VF> d;
  const VF most = hn::Set(d, kBeyondCodes);
  const auto whole = [&](VF v) { return RoundInRange(hn::Min(v, most)); };
  const auto low = hn::ReorderDemote2To(d16, whole(v0), whole(v1));
  const auto high = hn::ReorderDemote2To(d16, whole(v2), whole(v3));
  return hn::ReorderDemote2To(d8, low, high);
}

// The inverse: codes as four vectors of whole numbers, in the order that CodesOf takes.
template <class DU8>
struct CodeWords {
  using D32 = hn::Repartition<int32_t, DU8>;
  hn::Vec<D32> words[4];

  HWY_INLINE explicit CodeWords(hn::Vec<DU8> codes) {
    const DU8 d8;
    const hn::Repartition<uint16_t, DU8> d16;
    const D32 d32;
    const auto none = hn::Zero(d8);
    const auto low = hn::BitCast(d16, hn::InterleaveLower(d8, codes, none));
    const auto high = hn::BitCast(d16, hn::InterleaveUpper(d8, codes, none));
    words[0] = hn::BitCast(d32, hn::InterleaveLower(d16, low, hn::Zero(d16)));
    words[1] = hn::BitCast(d32, hn::InterleaveUpper(d16, low, hn::Zero(d16)));
    words[2] = hn::BitCast(d32, hn::InterleaveLower(d16, high, hn::Zero(d16)));
    words[3] = hn::BitCast(d32, hn::InterleaveUpper(d16, high, hn::Zero(d16)));
  }
};

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // WHERRY_MATH_CODES_INL_H_
