// The innermost loop of every matrix product: a tile of up to kTileRows rows by one or more panels of 16 columns whose
// sums stay in registers. Compiled once for each instruction set (Highway's per-target include guard).
//
// Register use decides the shape. AVX-512 has 32 registers of 16 floats: 14 x 2, 9 x 3 or 6 x 4 sums, 2 to 4 of B, 1 of A, in
// a loop of its own (tile_avx512-inl.h). AVX2 has 16 of 8:
// 6 x 2 sums, 2 of B, 1 of A. 64-bit ARM has 32 of 4: 6 x 4 sums, 2 of B, 6 of A, in a loop of its own (tile_neon.h). SSE2
// and 32-bit ARM have 16 of 4: 3 x 4 sums, and B partly from memory. With few rows the multiply-add's latency is hidden by
// more panels at once instead.
#if defined(WHERRY_MATH_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WHERRY_MATH_TILE_INL_H_
#undef WHERRY_MATH_TILE_INL_H_
#else
#define WHERRY_MATH_TILE_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"
#include "math/panels.h"
#include "math/tile_avx512-inl.h"
#include "math/tile_neon.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using TileTag = hn::CappedTag<float, 16>;
inline constexpr int kTileLanes = static_cast<int>(hn::MaxLanes(TileTag()));
inline constexpr int kPanelVectors = static_cast<int>(kPanelColumns) / kTileLanes;
inline constexpr int kTileRows = HWY_ARCH_ARM_A64 ? 6 : kTileLanes == 16 ? 14 : kTileLanes == 8 ? 6 : 3;
// Floats from one row of a copied tile of A to the next: a constant, so that one register addresses all rows.
inline constexpr int64_t kBlockK = 256;
inline constexpr int64_t kTileStride = kBlockK + 16;

// Whether a tile reads A where it lies: its rows may then be any stride apart. All others take copied tiles, but for one row.
inline constexpr bool kAnyStride = HWY_ARCH_X86 && kTileLanes == 16;

// The most panels that a tile of so many rows takes at once. One row of a GRU takes 3, one for each gate.
constexpr int TilePanels(int rows) {
  if (kAnyStride) return rows == 1 ? 8 : rows <= 6 ? 4 : rows <= 9 ? 3 : 2;
  if (kTileLanes == 8) return rows == 1 ? 4 : rows == 2 ? 2 : 1;
  return rows == 1 ? 2 : 1;
}

// Whether there is a tile of so many rows by 3 panels.
constexpr bool TakesThree(int rows) { return rows == 1 ? TilePanels(1) > 3 : rows > 3 && TilePanels(rows) >= 3; }

// Of so many panels that are left, how many the next tile takes when the last one took `width`.
inline int FittingPanels(int rows, int width, int64_t left) {
  if (rows > 1 && TakesThree(rows)) {  // threes until fours come out even, as a single panel is what costs most
    if (TilePanels(rows) == 3) return left == 4 ? 2 : left < 3 ? static_cast<int>(left) : 3;
    return left < 3 ? static_cast<int>(left) : left % 4 == 0 ? 4 : 3;
  }
  if (rows == 1 && left == 3 && width > 3) return 3;
  while (width > left) width /= 2;
  return width;
}

// What a tile starts from and does at its end.
struct TileStore {
  const float* start = nullptr;  // sums to go on with, unless null: may be C
  int64_t start_stride = 0;
  const float* bias = nullptr;      // added at the end, unless null
  const float* residual = nullptr;  // then added, unless null: may be C
  int64_t residual_stride = 0;
  bool clamps = false;
  float low = 0.0F;  // then, if `clamps`, clamped to [low, high]; NaN passes
  float high = 0.0F;
  // Fetched into the second-level cache meanwhile, on x86 by tiles of kAheadRows or more: at every second k the line at
  // ahead[0] + k / 2 * ahead_step, at the others that from ahead[1]. Two runs of lines arrive sooner than one, as each
  // has its own place in the prefetcher that guesses what comes next. Null: nothing (ahead_step must be 0).
  const float* ahead[2] = {};
  int64_t ahead_step = 0;
};

// With fewer rows a tile waits for B itself.
inline constexpr int kAheadRows = 4;

// Whether there is a tile of so many rows and panels that computes but half of its last panel: for numbers of columns that
// are a multiple of 8 and not of 16, where 512 bits may take two passes. As few rows have it as there are to a tile of
// many.
constexpr bool TakesHalf(int rows, int panels) {
  return kAnyStride && (panels == 2 ? rows >= 8 : panels == 3 && rows >= 7 && TakesThree(rows));
}

// C[kRows, 16 * kPanels] (+)= A[kRows, depth] x B. a_stride: floats from one row of A to the next; kTileStride unless
// kAnyStride, so the depth of several rows is at most kBlockK. b: panel p starts at b + p * panel_stride.
// kHalf: but for the last 8 columns, of which nothing is read or written in C and what lies beside it.
template <int kRows, int kPanels, bool kHalf = false>
void Tile(const float* HWY_RESTRICT a, [[maybe_unused]] int64_t a_stride, const float* HWY_RESTRICT b,
          int64_t panel_stride, int64_t depth, float* c, int64_t ldc, const TileStore& store) {
  const TileTag d;
  using V = hn::Vec<TileTag>;
  constexpr int kVectors = kPanels * kPanelVectors;
  const auto load = [&](const float* from, int v) HWY_ATTR {
    const hn::Half<TileTag> half;
    return kHalf && v + 1 == kVectors ? hn::ZeroExtendVector(d, hn::LoadU(half, from)) : hn::LoadU(d, from);
  };
  V sum[kRows][kVectors];
  if (store.start != nullptr) {
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(16)
      for (int v = 0; v < kVectors; ++v) {
        sum[r][v] = load(store.start + r * store.start_stride + v * kTileLanes, v);
      }
    }
  } else {
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(16)
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
    }
  }
  [[maybe_unused]] const float* ahead = store.ahead[0] != nullptr ? store.ahead[0] : b;
  [[maybe_unused]] const float* ahead_then = store.ahead[0] != nullptr ? store.ahead[1] : b;
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  __m512 lanes[kRows][kPanels];
  const auto each = [&](const auto& move) HWY_ATTR {
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(16)
      for (int v = 0; v < kVectors; ++v) move(lanes[r][v], sum[r][v].raw);
    }
  };
  each([](__m512& lane, const __m512& raw) HWY_ATTR { lane = raw; });
  const float* const runs[2] = {ahead, ahead_then};
  Avx512Tile<kRows, kPanels, kHalf>::Run(a, a_stride, b, panel_stride, depth, lanes, runs, store.ahead_step);
  each([](const __m512& lane, __m512& raw) HWY_ATTR { raw = lane; });
#else
  int64_t k = 0;
#if HWY_ARCH_ARM_A64
  if constexpr (kPanels == 1) {
    if (depth >= 4) {
      float32x4_t lanes[kRows][kVectors];
      const auto each = [&](const auto& move) {
        HWY_UNROLL(16)
        for (int r = 0; r < kRows; ++r) {
          HWY_UNROLL(16)
          for (int v = 0; v < kVectors; ++v) move(lanes[r][v], sum[r][v].raw);
        }
      };
      each([](float32x4_t& lane, const float32x4_t& raw) { lane = raw; });
      constexpr auto kFloat = static_cast<int64_t>(sizeof(float));
      NeonTile<FloatLanes, kRows, kTileStride * kFloat, 4 * kFloat>::Run(a, b, depth / 4, lanes);
      each([](const float32x4_t& lane, float32x4_t& raw) { raw = lane; });
      k = depth / 4 * 4;
      a += k;
      b += k * kPanelColumns;
    }
  }
#endif
  for (; k < depth; ++k) {
    if constexpr (HWY_ARCH_X86 && kRows >= kAheadRows) {
      __builtin_prefetch(ahead, 0, 2);
      const float* const after = ahead + store.ahead_step;
      ahead = ahead_then;
      ahead_then = after;
    }
    V column[kVectors];
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) {
      column[v] = hn::LoadU(d, b + (v / kPanelVectors) * panel_stride + (v % kPanelVectors) * kTileLanes);
    }
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      const V row = hn::Set(d, a[r * kTileStride]);
      HWY_UNROLL(16)
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(row, column[v], sum[r][v]);
    }
    ++a;
    b += kPanelColumns;
  }
#endif
  if (store.bias != nullptr) {
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) {
      const V bias = load(store.bias + v * kTileLanes, v);
      HWY_UNROLL(16)
      for (int r = 0; r < kRows; ++r) sum[r][v] = hn::Add(sum[r][v], bias);
    }
  }
  if (store.residual != nullptr) {
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(16)
      for (int v = 0; v < kVectors; ++v) {
        const V residual = load(store.residual + r * store.residual_stride + v * kTileLanes, v);
        sum[r][v] = hn::Add(sum[r][v], residual);
      }
    }
  }
  if (store.clamps) {
    const V low = hn::Set(d, store.low);
    const V high = hn::Set(d, store.high);
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(16)
      for (int v = 0; v < kVectors; ++v) {
        // The second operand is the one that x86 returns for NaN.
        sum[r][v] = hn::Min(high, hn::Max(low, sum[r][v]));
      }
    }
  }
  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) {
      float* const to = c + r * ldc + v * kTileLanes;
      if (kHalf && v + 1 == kVectors) {
        const hn::Half<TileTag> half;
        hn::StoreU(hn::LowerHalf(half, sum[r][v]), half, to);
      } else {
        hn::StoreU(sum[r][v], d, to);
      }
    }
  }
}

using TileFunction = void (*)(const float*, int64_t, const float*, int64_t, int64_t, float*, int64_t,
                              const TileStore&);

// The tile for 1 <= rows <= kTileRows and a number of panels that FittingPanels gives. half: only where TakesHalf().
template <int kRows = 1>
TileFunction FindTile(int rows, int panels, bool half = false) {
  if constexpr (kRows > kTileRows) {
    return nullptr;
  } else {
    if (rows != kRows) return FindTile<kRows + 1>(rows, panels, half);
    if constexpr (TakesHalf(kRows, 3)) {
      if (half && panels == 3) return &Tile<kRows, 3, true>;
    }
    if constexpr (TakesHalf(kRows, 2)) {
      if (half) return &Tile<kRows, 2, true>;
    }
    if constexpr (TilePanels(kRows) >= 8) {
      if (panels == 8) return &Tile<kRows, 8>;
    }
    if constexpr (TakesThree(kRows)) {
      if (panels == 3) return &Tile<kRows, 3>;
    }
    if constexpr (TilePanels(kRows) >= 4) {
      if (panels == 4) return &Tile<kRows, 4>;
    }
    if constexpr (TilePanels(kRows) >= 2) {
      if (panels == 2) return &Tile<kRows, 2>;
    }
    return &Tile<kRows, 1>;
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
