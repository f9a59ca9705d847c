#include "math/quantize.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/quantize.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/codes-inl.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using ValueTag = hn::CappedTag<float, 16>;
inline constexpr int64_t kValueLanes = static_cast<int64_t>(hn::MaxLanes(ValueTag()));

ValueRange FindRange(const float* values, int64_t count) {
  const ValueTag d;
  auto low = hn::Zero(d), high = hn::Zero(d), low2 = low, high2 = high;
  int64_t i = 0;
  for (; i + 2 * kValueLanes <= count; i += 2 * kValueLanes) {
    const auto x = hn::LoadU(d, values + i);
    const auto y = hn::LoadU(d, values + i + kValueLanes);
    low = hn::Min(low, x);
    high = hn::Max(high, x);
    low2 = hn::Min(low2, y);
    high2 = hn::Max(high2, y);
  }
  for (; i + kValueLanes <= count; i += kValueLanes) {
    const auto x = hn::LoadU(d, values + i);
    low = hn::Min(low, x);
    high = hn::Max(high, x);
  }
  if (i < count) {
    const auto x = hn::LoadN(d, values + i, static_cast<size_t>(count - i));  // zeros behind it: 0 is in every range
    low2 = hn::Min(low2, x);
    high2 = hn::Max(high2, x);
  }
  return {hn::ReduceMin(d, hn::Min(low, low2)), hn::ReduceMax(d, hn::Max(high, high2))};
}

using WholeTag = hn::Rebind<int32_t, ValueTag>;
using ByteTag = hn::Repartition<uint8_t, ValueTag>;  // of four vectors
inline constexpr int64_t kTogether = 4 * kValueLanes;

// What one value's code takes: the nearest whole number of steps, halves to even, and the zero point; not cut yet.
struct Steps {
  hn::Vec<ValueTag> inverse;
  hn::Vec<WholeTag> zero;

  explicit Steps(CodeScale scale)
      : inverse(hn::Set(ValueTag(), 1.0F / scale.scale)), zero(hn::Set(WholeTag(), scale.zero)) {}
  HWY_INLINE hn::Vec<WholeTag> Of(hn::Vec<ValueTag> values) const {
    const auto steps = hn::Min(hn::Mul(values, inverse), hn::Set(ValueTag(), kBeyondCodes));
    return hn::Add(RoundInRange(steps), zero);
  }
};

// Packing takes blocks of 16 bytes from each of four vectors in turn; this puts them in the order of the vectors.
inline constexpr int kBlocks = static_cast<int>(kValueLanes / 4);

HWY_INLINE auto OrderOfBlocks() {
  const WholeTag d;
  const auto lane = hn::Iota(d, 0);
  const auto block = hn::And(lane, hn::Set(d, kBlocks - 1));
  const auto vector = hn::ShiftRight<kBlocks == 4 ? 2 : kBlocks == 2 ? 1 : 0>(lane);
  return hn::IndicesFromVec(d, hn::Add(hn::ShiftLeft<2>(block), vector));
}

class BlockOrder {
 public:
  HWY_INLINE BlockOrder() : order_(OrderOfBlocks()) {}
  HWY_INLINE hn::Vec<ByteTag> operator()(hn::Vec<ByteTag> bytes) const {
    if constexpr (kBlocks == 1) return bytes;
    return hn::BitCast(ByteTag(), hn::TableLookupLanes(hn::BitCast(WholeTag(), bytes), order_));
  }

 private:
  decltype(OrderOfBlocks()) order_;
};

void QuantizeAll(const float* values, int64_t count, CodeScale scale, uint8_t* codes) {
  const ValueTag d;
  const hn::Rebind<uint8_t, ValueTag> d8;
  const hn::Repartition<int16_t, ValueTag> d16;
  const Steps steps(scale);
  int64_t i = 0;
  if (count >= kTogether) {
    const BlockOrder in_order;
    for (; i + kTogether <= count; i += kTogether) {
      const float* const from = values + i;
      const auto low = hn::ReorderDemote2To(d16, steps.Of(hn::LoadU(d, from)), steps.Of(hn::LoadU(d, from + kValueLanes)));
      const auto high = hn::ReorderDemote2To(d16, steps.Of(hn::LoadU(d, from + 2 * kValueLanes)),
                                             steps.Of(hn::LoadU(d, from + 3 * kValueLanes)));
      hn::StoreU(in_order(hn::ReorderDemote2To(ByteTag(), low, high)), ByteTag(), codes + i);
    }
  }
  for (; i + kValueLanes <= count; i += kValueLanes) {
    hn::StoreU(hn::DemoteTo(d8, steps.Of(hn::LoadU(d, values + i))), d8, codes + i);
  }
  if (i < count) {
    const size_t rest = static_cast<size_t>(count - i);
    hn::StoreN(hn::DemoteTo(d8, steps.Of(hn::LoadN(d, values + i, rest))), d8, codes + i, rest);
  }
}

HWY_INLINE void QuantizeWideSteps(const float* values, int64_t count, const Steps& steps, uint8_t* high, uint8_t* low) {
  const ValueTag d;
  const hn::Rebind<uint8_t, ValueTag> d8;
  const hn::Rebind<uint16_t, ValueTag> d16;
  const hn::Repartition<uint16_t, ValueTag> d2x16;
  const hn::Repartition<int16_t, ValueTag> signed16;
  int64_t i = 0;
  if (count >= kTogether) {
    const BlockOrder in_order;
    const auto low_byte = hn::Set(d2x16, 0xFF);
    for (; i + kTogether <= count; i += kTogether) {
      const float* const from = values + i;
      const auto first =
          hn::ReorderDemote2To(d2x16, steps.Of(hn::LoadU(d, from)), steps.Of(hn::LoadU(d, from + kValueLanes)));
      const auto second = hn::ReorderDemote2To(d2x16, steps.Of(hn::LoadU(d, from + 2 * kValueLanes)),
                                               steps.Of(hn::LoadU(d, from + 3 * kValueLanes)));
      const auto bytes = [&](auto a, auto b) HWY_ATTR {
        return in_order(hn::ReorderDemote2To(ByteTag(), hn::BitCast(signed16, a), hn::BitCast(signed16, b)));
      };
      hn::StoreU(bytes(hn::ShiftRight<8>(first), hn::ShiftRight<8>(second)), ByteTag(), high + i);
      hn::StoreU(bytes(hn::And(first, low_byte), hn::And(second, low_byte)), ByteTag(), low + i);
    }
  }
  for (; i + kValueLanes <= count; i += kValueLanes) {
    const auto both = hn::DemoteTo(d16, steps.Of(hn::LoadU(d, values + i)));
    hn::StoreU(hn::TruncateTo(d8, hn::ShiftRight<8>(both)), d8, high + i);
    hn::StoreU(hn::TruncateTo(d8, both), d8, low + i);
  }
  if (i < count) {
    const size_t rest = static_cast<size_t>(count - i);
    const auto both = hn::DemoteTo(d16, steps.Of(hn::LoadN(d, values + i, rest)));
    hn::StoreN(hn::TruncateTo(d8, hn::ShiftRight<8>(both)), d8, high + i, rest);
    hn::StoreN(hn::TruncateTo(d8, both), d8, low + i, rest);
  }
}

void QuantizeAllWide(const float* values, int64_t count, CodeScale scale, uint8_t* high, uint8_t* low) {
  QuantizeWideSteps(values, count, Steps(scale), high, low);
}

void QuantizeWidePixels(const float* values, int64_t pixels, int64_t channels, CodeScale scale, uint8_t* codes) {
  const Steps steps(scale);
  for (; pixels > 0; --pixels, values += channels, codes += 2 * channels) {
    QuantizeWideSteps(values, channels, steps, codes, codes + channels);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

inline constexpr int64_t kRowsTogether = 16;
inline constexpr int64_t kValuesTogether = 4096;

ValueRange RangeOf(const float* values, int64_t count, Isa isa) {
  return WHERRY_SELECT(isa, FindRange)(values, count);
}

CodeScale ScaleOf(ValueRange range, int planes) {
  const float steps = planes == 1 ? 255.0F : 65535.0F;
  const float scale = range.high / steps - range.low / steps;
  // All zeros, or so small that 1 / scale is no number: codes of 0.
  if (!(scale >= 1e-37F)) return {1.0F, 0};
  // Adding 1.5 * 2^23 rounds to a whole number, half to even.
  constexpr float kRound = 12582912.0F;
  const float zero = (-range.low / scale + kRound) - kRound;
  return {scale, zero >= 0.0F && zero <= steps ? static_cast<int32_t>(zero) : 0};
}

void QuantizeRun(const float* values, int64_t count, CodeScale scale, uint8_t* codes, Isa isa) {
  WHERRY_SELECT(isa, QuantizeAll)(values, count, scale, codes);
}

void QuantizeWideRun(const float* values, int64_t count, CodeScale scale, uint8_t* high, uint8_t* low, Isa isa) {
  WHERRY_SELECT(isa, QuantizeAllWide)(values, count, scale, high, low);
}

void QuantizePixels(const float* values, int64_t pixels, int64_t channels, CodeScale scale, int planes, uint8_t* codes,
                    Isa isa) {
  if (planes == 1) {
    WHERRY_SELECT(isa, QuantizeAll)(values, pixels * channels, scale, codes);
  } else {
    WHERRY_SELECT(isa, QuantizeWidePixels)(values, pixels, channels, scale, codes);
  }
}

void QuantizeRows(const float* values, int64_t stride, int64_t rows, int64_t k, int64_t leading, int planes,
                  uint8_t* codes, int64_t code_stride, CodeScale* scales, Isa isa) {
  const auto range = WHERRY_SELECT(isa, FindRange);
  const auto quantize = WHERRY_SELECT(isa, QuantizeAll);
  const auto quantize_wide = WHERRY_SELECT(isa, QuantizeAllWide);
  const int64_t rest = code_stride - leading - k;
  // A range, its scale and the first code wait for one another for longer than a short row takes; those of several rows
  // do not, and while they are so few values they stay in the first-level cache.
  const int64_t together = std::clamp<int64_t>(kValuesTogether / std::max<int64_t>(k, 1), 1, kRowsTogether);
  ValueRange ranges[kRowsTogether];
  for (int64_t first = 0; first < rows; first += together) {
    const int64_t count = std::min(together, rows - first);
    for (int64_t r = 0; r < count; ++r) ranges[r] = range(values + r * stride, k);
    for (int64_t r = 0; r < count; ++r) scales[first + r] = ScaleOf(ranges[r], planes);
    for (int64_t r = 0; r < count; ++r, values += stride) {
      if (planes == 1) {
        quantize(values, k, scales[first + r], codes + leading);
      } else {
        quantize_wide(values, k, scales[first + r], codes + leading, codes + code_stride + leading);
      }
      for (int plane = 0; plane < planes; ++plane, codes += code_stride) {
        if (leading > 0) std::memset(codes, 0, static_cast<size_t>(leading));
        if (rest > 0) std::memset(codes + leading + k, 0, static_cast<size_t>(rest));
      }
    }
  }
}

}  // namespace wherry::math
#endif  // HWY_ONCE
