// The inner loop of products of shorts: a tile of rows by up to two vectors of columns, whose sums stay in registers, and what
// stores them. Compiled once for each instruction set (Highway's per-target include guard); for short_gemm.cc only.
#if defined(WHERRY_MATH_SHORT_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WHERRY_MATH_SHORT_TILE_INL_H_
#undef WHERRY_MATH_SHORT_TILE_INL_H_
#else
#define WHERRY_MATH_SHORT_TILE_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "math/panels.h"

#ifndef WHERRY_MATH_SHORT_TILE_
#define WHERRY_MATH_SHORT_TILE_
namespace wherry::math {

inline constexpr int64_t kMostRuns = 8;  // of A

// What tiles of a task have in common, and what changes from one to the next.
struct ShortTile {
  int64_t runs;          // of k
  int64_t pairs;         // of a run
  int64_t a_stride;      // shorts
  int64_t panel_stride;  // shorts
  int64_t ldc;
  float low;
  float high;

  const int16_t* run[kMostRuns];  // where those of row 0 begin
  int64_t first;                  // the tile's first row
  const int16_t* b;
  const float* scale;
  const float* bias;
  const float* residual;  // null for none
  float* c;
  int64_t columns;  // of C, in these panels
};

using ShortTileFunction = void (*)(const ShortTile& tile);

}  // namespace wherry::math
#endif  // WHERRY_MATH_SHORT_TILE_

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using SumTag = hn::CappedTag<int32_t, 16>;
using SumVector = hn::Vec<SumTag>;
inline constexpr int64_t kSumLanes = static_cast<int64_t>(hn::MaxLanes(SumTag()));
inline constexpr int kPanelSums = static_cast<int>(kPanelColumns / kSumLanes);  // vectors to a panel
// 32 registers for 14 x 2 sums, two of B and one of A; 16 registers for 6 x 2.
inline constexpr int kShortRows = HWY_TARGET <= HWY_AVX3 ? 14 : 6;
inline constexpr int kShortVectors = 2;
// A tile's width is counted in these, as numbers of channels often are multiples of 8: where 512 bits take two passes, half
// a vector takes one.
inline constexpr int64_t kHalfColumns = 8;
inline constexpr int kVectorHalves = static_cast<int>(kSumLanes / kHalfColumns);
inline constexpr int kMostHalves = kShortVectors * kVectorHalves;

struct PairDot {
  static HWY_INLINE SumVector Add(SumVector sum, SumVector a, SumVector b) {
    const hn::Repartition<int16_t, SumTag> d16;
    sum = hn::Add(sum, hn::WidenMulPairwiseAdd(SumTag(), hn::BitCast(d16, a), hn::BitCast(d16, b)));
    asm volatile("" : "+x"(sum.raw));  // gcc 12 else makes all products before it adds any, and has no registers left
    return sum;
  }
};

// Assembler lines, as the target of this namespace has the registers but not the instruction.
#if HWY_TARGET == HWY_AVX3 && defined(WHERRY_ISA_AVX512VNNI)
struct VnniPairDot {
  static HWY_INLINE SumVector Add(SumVector sum, SumVector a, SumVector b) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
    return sum;
  }
  // Of the lower half; the upper one becomes 0.
  static HWY_INLINE SumVector AddHalf(SumVector sum, SumVector a, SumVector b) {
    asm("vpdpwssd %t2, %t1, %t0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
    return sum;
  }
};
#elif HWY_TARGET == HWY_AVX2 && defined(WHERRY_ISA_AVXVNNI)
struct VnniPairDot {
  static HWY_INLINE SumVector Add(SumVector sum, SumVector a, SumVector b) {
    asm("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum.raw) : "x"(a.raw), "x"(b.raw));
    return sum;
  }
};
#endif

// One vector of columns of all rows of a tile: from sums to C.
template <bool kAdds, bool kWhole, int kRows>
HWY_INLINE void StoreColumns(const ShortTile& tile, int v, const SumVector (&sum)[kRows][kShortVectors]) {
  const hn::Rebind<float, SumTag> df;
  const auto low = hn::Set(df, tile.low);
  const auto high = hn::Set(df, tile.high);
  const auto scale = hn::LoadU(df, tile.scale + v * kSumLanes);
  const auto bias = hn::LoadU(df, tile.bias + v * kSumLanes);
  const size_t count = static_cast<size_t>(tile.columns - v * kSumLanes);
  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    const int64_t at = r * tile.ldc + v * kSumLanes;
    auto value = hn::MulAdd(hn::ConvertTo(df, sum[r][v]), scale, bias);
    if constexpr (kAdds) {
      value = hn::Add(value, kWhole ? hn::LoadU(df, tile.residual + at) : hn::LoadN(df, tile.residual + at, count));
    }
    value = hn::Min(high, hn::Max(low, value));
    if constexpr (kWhole) {
      hn::StoreU(value, df, tile.c + at);
    } else {
      hn::StoreN(value, df, tile.c + at, count);
    }
  }
}

template <bool kAdds, int kHalves, int kRows>
HWY_INLINE void StoreTile(const ShortTile& tile, const SumVector (&sum)[kRows][kShortVectors]) {
  constexpr int kLast = (kHalves - 1) / kVectorHalves;
  if constexpr (kLast > 0) StoreColumns<kAdds, true>(tile, 0, sum);
  if constexpr (kHalves % kVectorHalves == 0) {
    if (tile.columns == kHalves * kHalfColumns) return StoreColumns<kAdds, true>(tile, kLast, sum);
  }
  StoreColumns<kAdds, false>(tile, kLast, sum);
}

HWY_INLINE int32_t LoadPair(const int16_t* from) {
  int32_t pair;
  std::memcpy(&pair, from, sizeof(pair));
  return pair;
}

// kHalves: columns in units of kHalfColumns.
template <class Dot, int kRows, int kHalves>
void Tile(const ShortTile& tile) {
  constexpr int kVectors = (kHalves + kVectorHalves - 1) / kVectorHalves;
  const SumTag d;
  SumVector sum[kRows][kShortVectors];
  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
  }
  const int64_t s = tile.a_stride;
  const int64_t s3 = 3 * s;
  const int16_t* b = tile.b;
  for (int64_t i = 0; i < tile.runs; ++i) {
    const int16_t* const a0 = tile.run[i] + tile.first * s;
    const int16_t* const a4 = a0 + 4 * s;
    const int16_t* const a8 = a0 + 8 * s;
    const int16_t* const a12 = a0 + 12 * s;
    for (int64_t pair = 0; pair < tile.pairs; ++pair) {
      SumVector column[kVectors];
      HWY_UNROLL(16)
      for (int v = 0; v < kVectors; ++v) {
        const int16_t* const at = b + v / kPanelSums * tile.panel_stride;
        column[v] = hn::LoadU(d, reinterpret_cast<const int32_t*>(at) + v % kPanelSums * kSumLanes);
      }
      b += 2 * kPanelColumns;
      HWY_UNROLL(16)
      for (int r = 0; r < kRows; ++r) {
        const int16_t* const base = (r < 4 ? a0 : r < 8 ? a4 : r < 12 ? a8 : a12) + pair * 2;
        const int64_t offset = r % 4 == 0 ? 0 : r % 4 == 1 ? s : r % 4 == 2 ? 2 * s : s3;
        const SumVector row = hn::Set(d, LoadPair(base + offset));
        HWY_UNROLL(16)
        for (int v = 0; v < kVectors; ++v) {
          if constexpr (kHalves % kVectorHalves != 0) {
            sum[r][v] = v + 1 == kVectors ? Dot::AddHalf(sum[r][v], row, column[v]) : Dot::Add(sum[r][v], row, column[v]);
          } else {
            sum[r][v] = Dot::Add(sum[r][v], row, column[v]);
          }
        }
      }
    }
  }
  if (tile.residual == nullptr) {
    StoreTile<false, kHalves>(tile, sum);
  } else {
    StoreTile<true, kHalves>(tile, sum);
  }
}

template <class Dot, int kRows = 1>
ShortTileFunction FindTile(int rows, int64_t halves) {
  if constexpr (kRows > kShortRows) {
    return nullptr;
  } else {
    if (rows != kRows) return FindTile<Dot, kRows + 1>(rows, halves);
    if (halves == kMostHalves) return &Tile<Dot, kRows, kMostHalves>;
    if constexpr (kVectorHalves == 2) {
      if (halves == 3) return &Tile<Dot, kRows, 3>;
    }
    return &Tile<Dot, kRows, kVectorHalves>;
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // AVX2 or later

#endif  // per-target include guard
