// F(4, 3) products where there are few tiles: the filter is transformed in registers, again for every row of points and
// every four tiles, and multiplied at once. Its 36 values for each channel and output never go to memory, where storing
// them takes longer than the arithmetic of some 8 tiles. Needs 32 registers of a whole panel.
#if defined(WHERRY_MATH_WINOGRAD_REGISTERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WHERRY_MATH_WINOGRAD_REGISTERS_INL_H_
#undef WHERRY_MATH_WINOGRAD_REGISTERS_INL_H_
#else
#define WHERRY_MATH_WINOGRAD_REGISTERS_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "math/winograd_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

inline constexpr bool kHasRegisters = kTileLanes == kPanelColumns;

// A row of points, of a block of channels, for one panel. Tap i * 3 + j of channel c is at
// taps + (i * 3 + j) * tap_stride + c * 16. power: the row's point in G; at the ends (0 and infinity) one row of taps
// is all that the row of G takes, and `taps` starts with it. image: [point][tile][kTileStride], transformed. sums:
// [point][tile][16], which start from 0 if `first`. ahead: two runs to fetch into the second-level cache meanwhile,
// `ahead_step` floats of each for every channel.
template <int kTiles, bool kEnd>
void RowProducts(const float* HWY_RESTRICT taps, int64_t tap_stride, float power, int64_t channels,
                 const float* HWY_RESTRICT image, float* HWY_RESTRICT sums, bool first, const float* const* ahead,
                 int64_t ahead_step) {
  const TileTag d;
  using V = WinogradVector;
  constexpr int kPoints = Winograd<4>::kPoints;
  V sum[kPoints][kTiles];
  HWY_UNROLL(6)
  for (int p = 0; p < kPoints; ++p) {
    HWY_UNROLL(4)
    for (int t = 0; t < kTiles; ++t) {
      sum[p][t] = first ? hn::Zero(d) : hn::LoadU(d, sums + (p * kTiles + t) * kPanelColumns);
    }
  }
  const V power1 = hn::Set(d, power);
  const V power2 = hn::Set(d, power * power);
  const float* ahead0 = ahead[0];
  const float* ahead1 = ahead[1];
  for (int64_t c = 0; c < channels; ++c) {
    __builtin_prefetch(ahead0, 0, 2);
    __builtin_prefetch(ahead1, 0, 2);
    ahead0 += ahead_step;
    ahead1 += ahead_step;
    V column[3];
    HWY_UNROLL(3)
    for (int j = 0; j < 3; ++j) {
      column[j] = hn::LoadU(d, taps + j * tap_stride);
      if constexpr (!kEnd) {
        column[j] = hn::MulAdd(power1, hn::LoadU(d, taps + (3 + j) * tap_stride), column[j]);
        column[j] = hn::MulAdd(power2, hn::LoadU(d, taps + (6 + j) * tap_stride), column[j]);
      }
    }
    V point[kPoints];
    Winograd<4>::Filter(column, point);
    HWY_UNROLL(6)
    for (int p = 0; p < kPoints; ++p) {
      HWY_UNROLL(4)
      for (int t = 0; t < kTiles; ++t) {
        sum[p][t] = hn::MulAdd(hn::Set(d, image[(p * kTiles + t) * kTileStride]), point[p], sum[p][t]);
      }
    }
    taps += kPanelColumns;
    ++image;
  }
  HWY_UNROLL(6)
  for (int p = 0; p < kPoints; ++p) {
    HWY_UNROLL(4)
    for (int t = 0; t < kTiles; ++t) hn::StoreU(sum[p][t], d, sums + (p * kTiles + t) * kPanelColumns);
  }
}

using RowFunction = void (*)(const float*, int64_t, float, int64_t, const float*, float*, bool, const float* const*,
                             int64_t);

template <bool kEnd>
RowFunction FindRow(int64_t tiles) {  // 2 to 4
  return tiles == 2 ? &RowProducts<2, kEnd> : tiles == 3 ? &RowProducts<3, kEnd> : &RowProducts<4, kEnd>;
}

// Scratch memory of a task, in floats.
struct RegisterScratch {
  int64_t taps;      // dequantized: [9][channels][16]
  int64_t products;  // [strip][point][strip_rows][16]

  explicit RegisterScratch(const WinogradPlan& plan)
      : taps(plan.dequantizes ? 9 * plan.block_channels * kPanelColumns : 0),
        products(int64_t{plan.block_tiles} * (plan.tile + 2) * (plan.tile + 2) * kPanelColumns) {}
  int64_t floats() const { return taps + products; }
};

inline void RegisterProducts(const WinogradPlan& plan, const WinogradConv& conv, const BlockLayout& layout,
                             const PanelMatrix& filter, const Epilogue& epilogue, float* out, int64_t part,
                             const float* image, float* scratch) {
  constexpr int n = Winograd<4>::kPoints;
  constexpr float kPowers[n] = {0.0F, Winograd<4>::kA, -Winograd<4>::kA, Winograd<4>::kB, -Winograd<4>::kB, 0.0F};
  float* const products = scratch + RegisterScratch(plan).taps;
  const int64_t row_floats = n * layout.strip_rows * kPanelColumns;
  const RowFunction end_row = FindRow<true>(layout.strip_rows);
  const RowFunction middle_row = FindRow<false>(layout.strip_rows);
  const TileRange panels = EvenPart(filter.panels(), part, plan.column_parts);
  // The next panel is fetched in the order in which it lies, two runs at a time.
  const int64_t calls = layout.channel_blocks * layout.strips * n;
  const int64_t run = filter.k * kPanelColumns / (2 * calls);
  for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
    const bool fetches = !plan.dequantizes && panel + 1 < filter.panels();
    const float* const next = static_cast<const float*>(filter.data) + (fetches ? panel + 1 : 0) * filter.k * kPanelColumns;
    for (int64_t channel_block = 0; channel_block < layout.channel_blocks; ++channel_block) {
      const int64_t c0 = channel_block * layout.block_channels;
      const int64_t count = std::min(layout.block_channels, layout.channels - c0);
      const float* taps = scratch;
      int64_t tap_stride = count * kPanelColumns;
      if (plan.dequantizes) {
        for (int64_t tap = 0; tap < 9; ++tap) {
          const int64_t k = tap * layout.channels + c0;
          filter.dequantize(filter, panel, k, k + count, scratch + tap * tap_stride);
        }
      } else {
        taps = static_cast<const float*>(filter.data) + (panel * filter.k + c0) * kPanelColumns;
        tap_stride = layout.channels * kPanelColumns;
      }
      for (int64_t strip = 0; strip < layout.strips; ++strip) {
        for (int row = 0; row < n; ++row) {
          const int64_t call = (channel_block * layout.strips + strip) * n + row;
          const float* ahead[2] = {taps, taps};
          for (int64_t i = 0; i < 2 && fetches; ++i) ahead[i] = next + (calls * i + call) * run;
          (row == 0 || row == n - 1 ? end_row : middle_row)(
              taps + (row == n - 1 ? 6 * tap_stride : 0), tap_stride, kPowers[row], count,
              image + strip * layout.StripFloats() + layout.Offset(channel_block, row * n),
              products + (strip * n + row) * row_floats, channel_block == 0, ahead,
              fetches ? run / layout.block_channels : 0);
        }
      }
    }
    StoreOutputs<4>({plan, conv, layout, panel, kPanelColumns, products}, epilogue, out);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
