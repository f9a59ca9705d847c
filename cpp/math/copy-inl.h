// Copies of runs of floats or bytes that are too short for a call of memcpy to pay: rows of a tile, pixels of a patch. Compiled
// once for each instruction set (Highway's per-target include guard).
#if defined(WHERRY_MATH_COPY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WHERRY_MATH_COPY_INL_H_
#undef WHERRY_MATH_COPY_INL_H_
#else
#define WHERRY_MATH_COPY_INL_H_
#endif

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

// to[i] = from[i] for i in [0, count); touches no other memory. The two must not overlap.
HWY_INLINE void CopyRun(const float* HWY_RESTRICT from, int64_t count, float* HWY_RESTRICT to) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::CappedTag<float, 16> d;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(d));
  if (count < kLanes) {
    if constexpr (kLanes > 4) {
      hn::StoreN(hn::LoadN(d, from, static_cast<size_t>(count)), d, to, static_cast<size_t>(count));
    } else {
      for (int64_t i = 0; i < count; ++i) to[i] = from[i];
    }
    return;
  }
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
  if (i < count) hn::StoreU(hn::LoadU(d, from + count - kLanes), d, to + count - kLanes);
}

// The same of bytes, a few to a few hundred: overlapping copies of fixed sizes.
HWY_INLINE void CopyBytes(const uint8_t* HWY_RESTRICT from, int64_t count, uint8_t* HWY_RESTRICT to) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::CappedTag<uint8_t, 64> d;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(d));
  const auto copy = [&](auto size) {
    constexpr int64_t kSize = decltype(size)::value;
    int64_t i = 0;
    for (; i + kSize <= count; i += kSize) std::memcpy(to + i, from + i, kSize);
    if (i < count) std::memcpy(to + count - kSize, from + count - kSize, kSize);
  };
  if (count >= kLanes) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
    if (i < count) hn::StoreU(hn::LoadU(d, from + count - kLanes), d, to + count - kLanes);
    return;
  }
  if (count >= 32) return copy(std::integral_constant<int64_t, 32>());
  if (count >= 16) return copy(std::integral_constant<int64_t, 16>());
  if (count >= 8) return copy(std::integral_constant<int64_t, 8>());
  if (count >= 4) return copy(std::integral_constant<int64_t, 4>());
  for (int64_t i = 0; i < count; ++i) to[i] = from[i];
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
