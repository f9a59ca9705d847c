#include "math/code_pool.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/code_pool.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/codes-inl.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using PoolTag = hn::CappedTag<uint8_t, 64>;
using PoolVector = hn::Vec<PoolTag>;
inline constexpr int64_t kPoolLanes = static_cast<int64_t>(hn::MaxLanes(PoolTag()));

// Calls block(c, n) for every kPoolLanes channels; the last call may have fewer.
template <class BlockOf>
HWY_INLINE void ForChannels(int64_t channels, const BlockOf& block) {
  for (int64_t c = 0; c < channels; c += kPoolLanes) block(c, std::min(kPoolLanes, channels - c));
}

HWY_INLINE PoolVector LoadChannels(const uint8_t* from, int64_t n) {
  const PoolTag d8;
  return n == kPoolLanes ? hn::LoadU(d8, from) : hn::LoadN(d8, from, static_cast<size_t>(n));
}

HWY_INLINE void StoreChannels(PoolVector codes, uint8_t* to, int64_t n) {
  const PoolTag d8;
  if (n == kPoolLanes) {
    hn::StoreU(codes, d8, to);
  } else {
    hn::StoreN(codes, d8, to, static_cast<size_t>(n));
  }
}

void Largest(const CodeWindow& window, uint8_t* out) {
  ForChannels(window.channels, [&](int64_t c, int64_t n) HWY_ATTR {
    auto largest = hn::Zero(PoolTag());
    for (int64_t y = 0; y < window.rows; ++y) {
      const uint8_t* pixel = window.pixels + y * window.row_step + c;
      for (int64_t x = 0; x < window.columns; ++x, pixel += window.pixel_step) {
        largest = hn::Max(largest, LoadChannels(pixel, n));
      }
    }
    StoreChannels(largest, out + c, n);
  });
}

void Mean(const CodeWindow& window, float factor, float offset, uint8_t* out) {
  const PoolTag d8;
  const hn::Repartition<uint16_t, PoolTag> d16;
  const hn::Repartition<int32_t, PoolTag> d32;
  const hn::Repartition<float, PoolTag> d;
  constexpr int64_t kPixelsOf16Bits = 65535 / 255;
  ForChannels(window.channels, [&](int64_t c, int64_t n) HWY_ATTR {
    hn::Vec<decltype(d32)> sum[4] = {hn::Zero(d32), hn::Zero(d32), hn::Zero(d32), hn::Zero(d32)};
    auto low = hn::Zero(d16), high = hn::Zero(d16);
    int64_t held = 0;
    const auto take = [&]() HWY_ATTR {
      const auto none = hn::Zero(d16);
      sum[0] = hn::Add(sum[0], hn::BitCast(d32, hn::InterleaveLower(d16, low, none)));
      sum[1] = hn::Add(sum[1], hn::BitCast(d32, hn::InterleaveUpper(d16, low, none)));
      sum[2] = hn::Add(sum[2], hn::BitCast(d32, hn::InterleaveLower(d16, high, none)));
      sum[3] = hn::Add(sum[3], hn::BitCast(d32, hn::InterleaveUpper(d16, high, none)));
      low = high = none;
      held = 0;
    };
    for (int64_t y = 0; y < window.rows; ++y) {
      const uint8_t* pixel = window.pixels + y * window.row_step + c;
      for (int64_t x = 0; x < window.columns; ++x, pixel += window.pixel_step) {
        const auto codes = LoadChannels(pixel, n);
        low = hn::Add(low, hn::BitCast(d16, hn::InterleaveLower(d8, codes, hn::Zero(d8))));
        high = hn::Add(high, hn::BitCast(d16, hn::InterleaveUpper(d8, codes, hn::Zero(d8))));
        if (++held == kPixelsOf16Bits) take();
      }
    }
    take();
    const auto value = [&](int q) HWY_ATTR {
      return hn::Add(hn::Mul(hn::ConvertTo(d, sum[q]), hn::Set(d, factor)), hn::Set(d, offset));
    };
    StoreChannels(CodesOf(d8, value(0), value(1), value(2), value(3)), out + c, n);
  });
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

void LargestCodes(const CodeWindow& window, uint8_t* out, Isa isa) { WHERRY_SELECT(isa, Largest)(window, out); }

void MeanCodes(const CodeWindow& window, float factor, float offset, uint8_t* out, Isa isa) {
  WHERRY_SELECT(isa, Mean)(window, factor, offset, out);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
