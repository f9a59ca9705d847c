#include "math/quantize.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/quantize.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/codes-inl.h"
#include "math/dispatch.h"

#ifndef WHERRY_MATH_QUANTIZE_CC_ONCE_
#define WHERRY_MATH_QUANTIZE_CC_ONCE_
namespace wherry::math {
inline constexpr int64_t kRowsTogether = 16;
inline constexpr int64_t kValuesTogether = 4096;
inline constexpr int kRowsOfRanges = 4;  // whose ranges are found together
}  // namespace wherry::math
#endif

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using ValueTag = hn::CappedTag<float, 16>;
inline constexpr int64_t kValueLanes = static_cast<int64_t>(hn::MaxLanes(ValueTag()));

// Four vectors at a time: each minimum and maximum waits for the one before it.
ValueRange FindRange(const float* values, int64_t count) {
  const ValueTag d;
  using V = hn::Vec<ValueTag>;
  V low[4], high[4];
  HWY_UNROLL(4)
  for (int v = 0; v < 4; ++v) low[v] = high[v] = hn::Zero(d);
  const auto take = [&](int v, V x) HWY_ATTR {
    low[v] = hn::Min(low[v], x);
    high[v] = hn::Max(high[v], x);
  };
  int64_t i = 0;
  for (; i + 4 * kValueLanes <= count; i += 4 * kValueLanes) {
    HWY_UNROLL(4)
    for (int v = 0; v < 4; ++v) take(v, hn::LoadU(d, values + i + v * kValueLanes));
  }
  for (; i + kValueLanes <= count; i += kValueLanes) take(0, hn::LoadU(d, values + i));
  // Zeros behind them: 0 is in every range.
  if (i < count) take(1, hn::LoadN(d, values + i, static_cast<size_t>(count - i)));
  return {hn::ReduceMin(d, hn::Min(hn::Min(low[0], low[1]), hn::Min(low[2], low[3]))),
          hn::ReduceMax(d, hn::Max(hn::Max(high[0], high[1]), hn::Max(high[2], high[3])))};
}

using WholeTag = hn::Rebind<int32_t, ValueTag>;
using ByteTag = hn::Repartition<uint8_t, ValueTag>;  // of four vectors
inline constexpr int64_t kTogether = 4 * kValueLanes;

// What one value's code takes: the nearest whole number of steps, halves to even, and the zero point; not cut yet.
struct Steps {
  hn::Vec<ValueTag> inverse;
  hn::Vec<WholeTag> zero;

  HWY_INLINE explicit Steps(CodeScale scale)
      : inverse(hn::Set(ValueTag(), 1.0F / scale.scale)), zero(hn::Set(WholeTag(), scale.zero)) {}
  HWY_INLINE hn::Vec<WholeTag> Of(hn::Vec<ValueTag> values) const {
    const auto steps = hn::Min(hn::Mul(values, inverse), hn::Set(ValueTag(), kBeyondCodes));
    return hn::Add(RoundInRange(steps), zero);
  }
};

// The same for values of the range that the scale is of, where 0 has the code 0, as behind a Relu.
struct PlainSteps {
  hn::Vec<ValueTag> inverse;

  HWY_INLINE explicit PlainSteps(CodeScale scale) : inverse(hn::Set(ValueTag(), 1.0F / scale.scale)) {}
  HWY_INLINE hn::Vec<WholeTag> Of(hn::Vec<ValueTag> values) const { return RoundInRange(hn::Mul(values, inverse)); }
};

// Packing takes blocks of 16 bytes from each of four vectors in turn; this puts them in the order of the vectors.
inline constexpr int kBlocks = static_cast<int>(kValueLanes / 4);
inline constexpr int kBlockBits = kBlocks == 4 ? 2 : kBlocks == 2 ? 1 : 0;

HWY_INLINE auto OrderOfBlocks() {
  const WholeTag d;
  const auto lane = hn::Iota(d, 0);
  const auto block = hn::And(lane, hn::Set(d, kBlocks - 1));
  const auto vector = hn::ShiftRight<kBlockBits>(lane);
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

// Where words of split bytes come from: each block of 16 bytes holds the high bytes of four values of one vector and of four
// of the next, then their low bytes, which begin at word 2.
HWY_INLINE auto OrderOfSplit(int32_t begin) {
  const WholeTag d;
  const auto lane = hn::Iota(d, 0);
  const auto block = hn::And(lane, hn::Set(d, kBlocks - 1));
  const auto vector = hn::ShiftRight<kBlockBits>(lane);
  const auto table = hn::ShiftLeft<kBlockBits + 2>(hn::ShiftRight<1>(vector));
  const auto word = hn::Add(hn::And(vector, hn::Set(d, 1)), hn::Set(d, begin));
  return hn::IndicesFromVec(d, hn::Add(table, hn::Add(hn::ShiftLeft<2>(block), word)));
}

// Stores the high bytes of two packed vectors of words, and their low bytes, in the order of the vectors that were packed.
class ByteSplit {
 public:
  HWY_INLINE ByteSplit()
      : halves_(hn::Dup128VecFromValues(ByteTag(), 1, 3, 5, 7, 9, 11, 13, 15, 0, 2, 4, 6, 8, 10, 12, 14)),
        high_(OrderOfSplit(0)),
        low_(OrderOfSplit(2)) {}

  HWY_INLINE void operator()(hn::Vec<ByteTag> first, hn::Vec<ByteTag> second, uint8_t* high, uint8_t* low) const {
    const WholeTag d;
    const auto a = hn::BitCast(d, hn::TableLookupBytes(first, halves_));
    const auto b = hn::BitCast(d, hn::TableLookupBytes(second, halves_));
    if constexpr (kBlocks == 1) {
      hn::StoreU(hn::BitCast(ByteTag(), hn::ConcatLowerLower(d, b, a)), ByteTag(), high);
      hn::StoreU(hn::BitCast(ByteTag(), hn::ConcatUpperUpper(d, b, a)), ByteTag(), low);
    } else {
      hn::StoreU(hn::BitCast(ByteTag(), hn::TwoTablesLookupLanes(d, a, b, high_)), ByteTag(), high);
      hn::StoreU(hn::BitCast(ByteTag(), hn::TwoTablesLookupLanes(d, a, b, low_)), ByteTag(), low);
    }
  }

 private:
  hn::Vec<ByteTag> halves_;
  decltype(OrderOfSplit(0)) high_;
  decltype(OrderOfSplit(0)) low_;
};

template <class S>
HWY_INLINE void QuantizeSteps(const float* values, int64_t count, const S& steps, uint8_t* codes) {
  const ValueTag d;
  const hn::Rebind<uint8_t, ValueTag> d8;
  const hn::Repartition<int16_t, ValueTag> d16;
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

template <class S>
HWY_INLINE void QuantizeWideSteps(const float* values, int64_t count, const S& steps, uint8_t* high, uint8_t* low) {
  const ValueTag d;
  const hn::Rebind<uint8_t, ValueTag> d8;
  const hn::Rebind<uint16_t, ValueTag> d16;
  const hn::Repartition<uint16_t, ValueTag> d2x16;
  int64_t i = 0;
  if (count >= kTogether) {
    const ByteSplit split;
    for (; i + kTogether <= count; i += kTogether) {
      const float* const from = values + i;
      const auto first =
          hn::ReorderDemote2To(d2x16, steps.Of(hn::LoadU(d, from)), steps.Of(hn::LoadU(d, from + kValueLanes)));
      const auto second = hn::ReorderDemote2To(d2x16, steps.Of(hn::LoadU(d, from + 2 * kValueLanes)),
                                               steps.Of(hn::LoadU(d, from + 3 * kValueLanes)));
      split(hn::BitCast(ByteTag(), first), hn::BitCast(ByteTag(), second), high + i, low + i);
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

void QuantizeAll(const float* values, int64_t count, CodeScale scale, uint8_t* codes) {
  QuantizeSteps(values, count, Steps(scale), codes);
}

void QuantizeAllWide(const float* values, int64_t count, CodeScale scale, uint8_t* high, uint8_t* low) {
  QuantizeWideSteps(values, count, Steps(scale), high, low);
}

template <class S>
HWY_INLINE void QuantizePixelSteps(const float* values, int64_t pixels, int64_t channels, int planes, const S& steps,
                                   uint8_t* codes) {
  if (planes == 1) {
    QuantizeSteps(values, pixels * channels, steps, codes);
    return;
  }
  for (; pixels > 0; --pixels, values += channels, codes += 2 * channels) {
    QuantizeWideSteps(values, channels, steps, codes, codes + channels);
  }
}

void QuantizeWholePixels(const float* values, int64_t pixels, int64_t channels, CodeScale scale, int planes,
                         uint8_t* codes) {
  if (scale.zero == 0) {
    QuantizePixelSteps(values, pixels, channels, planes, PlainSteps(scale), codes);
  } else {
    QuantizePixelSteps(values, pixels, channels, planes, Steps(scale), codes);
  }
}

// Lanes 0 to 3: the smallest or largest lane of each of four vectors, as `pick` takes of two.
template <class Pick>
HWY_INLINE hn::Vec<ValueTag> PickLanes(const hn::Vec<ValueTag>* of, const Pick& pick) {
  const ValueTag d;
  const hn::Repartition<uint64_t, ValueTag> d64;
  const auto first = hn::BitCast(d64, pick(hn::InterleaveLower(d, of[0], of[1]), hn::InterleaveUpper(d, of[0], of[1])));
  const auto second = hn::BitCast(d64, pick(hn::InterleaveLower(d, of[2], of[3]), hn::InterleaveUpper(d, of[2], of[3])));
  auto found = pick(hn::BitCast(d, hn::InterleaveLower(d64, first, second)),
                    hn::BitCast(d, hn::InterleaveUpper(d64, first, second)));
  if constexpr (kBlocks > 2) found = pick(found, hn::SwapAdjacentBlocks(found));
  if constexpr (kBlocks > 1) found = pick(found, hn::ReverseBlocks(d, found));
  return found;
}

// The smallest and the largest value of four rows, and 0. They take turns, as each waits for what it has found so far.
HWY_INLINE void FindFourRanges(const float* values, int64_t stride, int64_t k, ValueRange* ranges) {
  const ValueTag d;
  using V = hn::Vec<ValueTag>;
  V low[kRowsOfRanges], high[kRowsOfRanges];
  HWY_UNROLL(4)
  for (int r = 0; r < kRowsOfRanges; ++r) low[r] = high[r] = hn::Zero(d);
  int64_t i = 0;
  for (; i + kValueLanes <= k; i += kValueLanes) {
    HWY_UNROLL(4)
    for (int r = 0; r < kRowsOfRanges; ++r) {
      const V x = hn::LoadU(d, values + r * stride + i);
      low[r] = hn::Min(low[r], x);
      high[r] = hn::Max(high[r], x);
    }
  }
  if (i < k) {
    HWY_UNROLL(4)
    for (int r = 0; r < kRowsOfRanges; ++r) {
      const V x = hn::LoadN(d, values + r * stride + i, static_cast<size_t>(k - i));  // zeros behind it
      low[r] = hn::Min(low[r], x);
      high[r] = hn::Max(high[r], x);
    }
  }
  alignas(64) float lows[kValueLanes], highs[kValueLanes];
  hn::Store(PickLanes(low, [](V a, V b) HWY_ATTR { return hn::Min(a, b); }), d, lows);
  hn::Store(PickLanes(high, [](V a, V b) HWY_ATTR { return hn::Max(a, b); }), d, highs);
  for (int r = 0; r < kRowsOfRanges; ++r) ranges[r] = {lows[r], highs[r]};
}

template <int kPlanes, class S>
HWY_INLINE void QuantizeRow(const float* values, int64_t k, const S& steps, uint8_t* codes, int64_t code_stride) {
  if constexpr (kPlanes == 1) {
    QuantizeSteps(values, k, steps, codes);
  } else {
    QuantizeWideSteps(values, k, steps, codes, codes + code_stride);
  }
}

// Up to kRowsTogether rows.
template <int kPlanes>
void QuantizeFewRows(const float* values, int64_t stride, int64_t rows, int64_t k, int64_t leading, uint8_t* codes,
                     int64_t code_stride, CodeScale* scales) {
  ValueRange ranges[kRowsTogether];
  int64_t r = 0;
  for (; r + kRowsOfRanges <= rows; r += kRowsOfRanges) FindFourRanges(values + r * stride, stride, k, ranges + r);
  for (; r < rows; ++r) ranges[r] = FindRange(values + r * stride, k);
  for (r = 0; r < rows; ++r) scales[r] = ScaleOf(ranges[r], kPlanes);
  const int64_t rest = code_stride - leading - k;
  for (r = 0; r < rows; ++r, values += stride) {
    if (scales[r].zero == 0) {
      QuantizeRow<kPlanes>(values, k, PlainSteps(scales[r]), codes + leading, code_stride);
    } else {
      QuantizeRow<kPlanes>(values, k, Steps(scales[r]), codes + leading, code_stride);
    }
    for (int plane = 0; plane < kPlanes; ++plane, codes += code_stride) {
      if (leading > 0) std::memset(codes, 0, static_cast<size_t>(leading));
      if (rest > 0) std::memset(codes + leading + k, 0, static_cast<size_t>(rest));
    }
  }
}

void QuantizeAllRows(const float* values, int64_t stride, int64_t rows, int64_t k, int64_t leading, int planes,
                     uint8_t* codes, int64_t code_stride, CodeScale* scales) {
  // A range, its scale and the first code wait for one another for longer than a short row takes; those of several rows
  // do not, and while they are so few values they stay in the first-level cache.
  const int64_t together = std::clamp<int64_t>(kValuesTogether / std::max<int64_t>(k, 1), 1, kRowsTogether);
  for (int64_t first = 0; first < rows; first += together) {
    (planes == 1 ? &QuantizeFewRows<1> : &QuantizeFewRows<2>)(values + first * stride, stride, std::min(together, rows - first),
                                                             k, leading, codes + first * planes * code_stride, code_stride,
                                                             scales + first);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

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
  WHERRY_SELECT(isa, QuantizeWholePixels)(values, pixels, channels, scale, planes, codes);
}

void QuantizeRows(const float* values, int64_t stride, int64_t rows, int64_t k, int64_t leading, int planes,
                  uint8_t* codes, int64_t code_stride, CodeScale* scales, Isa isa) {
  WHERRY_SELECT(isa, QuantizeAllRows)(values, stride, rows, k, leading, planes, codes, code_stride, scales);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
