// A panel of 16 channels at a time. Inside the image several neighbouring outputs share each load of the filter; at the
// left and right edge outputs go one by one, with the taps that fall inside.
#include "math/depthwise.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/depthwise.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"
#include "math/panels.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using DepthTag = hn::CappedTag<float, 16>;
using DepthVector = hn::Vec<DepthTag>;
inline constexpr int kDepthLanes = static_cast<int>(hn::MaxLanes(DepthTag()));
inline constexpr int kDepthVectors = static_cast<int>(kPanelColumns) / kDepthLanes;
// Neighbouring outputs at once, as many as registers hold.
inline constexpr int kOutputs = kDepthVectors == 1 ? 8 : HWY_ARCH_X86 && kDepthVectors == 4 ? 2 : 4;

// Taps [begin, end) of one dimension whose input, at origin + tap * dilation, lies in [0, in).
struct Taps {
  int64_t begin;
  int64_t end;
};

inline Taps TapsInside(int64_t origin, int64_t dilation, int64_t taps, int64_t in) {
  const int64_t begin = origin >= 0 ? 0 : (-origin + dilation - 1) / dilation;
  const int64_t end = origin >= in ? 0 : (in - 1 - origin) / dilation + 1;
  return {std::min(begin, taps), std::clamp(end, std::min(begin, taps), taps)};
}

// Lanes of vector v in a panel of which `columns` columns exist.
template <bool kWhole>
HWY_INLINE DepthVector LoadLanes(const float* from, int v, int64_t columns) {
  const DepthTag d;
  if constexpr (kWhole) return hn::LoadU(d, from + v * kDepthLanes);
  const int64_t lanes = std::clamp<int64_t>(columns - v * kDepthLanes, 0, kDepthLanes);
  return hn::LoadN(d, from + v * kDepthLanes, static_cast<size_t>(lanes));
}

template <bool kWhole>
HWY_INLINE void StoreLanes(DepthVector value, float* to, int v, int64_t columns) {
  const DepthTag d;
  if constexpr (kWhole) {
    hn::StoreU(value, d, to + v * kDepthLanes);
  } else {
    const int64_t lanes = std::clamp<int64_t>(columns - v * kDepthLanes, 0, kDepthLanes);
    hn::StoreN(value, d, to + v * kDepthLanes, static_cast<size_t>(lanes));
  }
}

// One output row, and the taps that reach it from inside the image.
struct RowTaps {
  const float* image;  // of this row's batch
  int64_t origin_y;    // image row of tap 0
  Taps rows;
  float* out;
};

// kCount outputs from column x on, of one panel whose first channel is `first`.
template <int kCount, bool kWhole>
HWY_INLINE void Outputs(const Depthwise& conv, const RowTaps& row, int64_t first, int64_t columns, Taps taps,
                        int64_t x) {
  const DepthTag d;
  DepthVector sum[kCount][kDepthVectors];
  HWY_UNROLL(8)
  for (int t = 0; t < kCount; ++t) {
    HWY_UNROLL(8)
    for (int v = 0; v < kDepthVectors; ++v) sum[t][v] = hn::Zero(d);
  }
  const int64_t step = conv.stride_w * conv.channels;
  for (int64_t ky = row.rows.begin; ky < row.rows.end; ++ky) {
    const int64_t column = x * conv.stride_w - conv.left + taps.begin * conv.dilation_w;
    const float* pixel =
        row.image + ((row.origin_y + ky * conv.dilation_h) * conv.in_w + column) * conv.channels + first;
    const float* tap =
        conv.filter + first * conv.filter_h * conv.filter_w + (ky * conv.filter_w + taps.begin) * kPanelColumns;
    for (int64_t kx = taps.begin; kx < taps.end; ++kx) {
      HWY_UNROLL(8)
      for (int v = 0; v < kDepthVectors; ++v) {
        const DepthVector weight = hn::LoadU(d, tap + v * kDepthLanes);
        HWY_UNROLL(8)
        for (int t = 0; t < kCount; ++t) {
          sum[t][v] = hn::MulAdd(LoadLanes<kWhole>(pixel + t * step, v, columns), weight, sum[t][v]);
        }
      }
      pixel += conv.dilation_w * conv.channels;
      tap += kPanelColumns;
    }
  }
  float* out = row.out + x * conv.channels + first;
  HWY_UNROLL(8)
  for (int v = 0; v < kDepthVectors; ++v) {
    const DepthVector bias =
        conv.bias == nullptr ? hn::Zero(d) : LoadLanes<kWhole>(conv.bias + first, v, columns);
    HWY_UNROLL(8)
    for (int t = 0; t < kCount; ++t) {
      StoreLanes<kWhole>(hn::Add(sum[t][v], bias), out + t * conv.channels, v, columns);
    }
  }
}

// kCount outputs from column x on, of all channels: memory is read in the order in which it lies.
template <int kCount>
void AllChannels(const Depthwise& conv, const RowTaps& row, Taps taps, int64_t x) {
  int64_t first = 0;
  for (; first + kPanelColumns <= conv.channels; first += kPanelColumns) {
    Outputs<kCount, true>(conv, row, first, kPanelColumns, taps, x);
  }
  if (first < conv.channels) Outputs<kCount, false>(conv, row, first, conv.channels - first, taps, x);
}

void OneToOneRow(const Depthwise& conv, const RowTaps& row) {
  // Outputs [inside_begin, inside_end) have all their taps inside.
  const int64_t extent = (conv.filter_w - 1) * conv.dilation_w;
  const int64_t inside_begin = std::min((conv.left + conv.stride_w - 1) / conv.stride_w, conv.out_w);
  const int64_t last = conv.in_w - 1 - extent + conv.left;  // of x * stride_w
  const int64_t inside_end = std::clamp(last < 0 ? 0 : last / conv.stride_w + 1, inside_begin, conv.out_w);
  int64_t x = 0;
  while (x < conv.out_w) {
    if (x >= inside_begin && x + kOutputs <= inside_end) {
      AllChannels<kOutputs>(conv, row, {0, conv.filter_w}, x);
      x += kOutputs;
    } else {
      AllChannels<1>(conv, row,
                     TapsInside(x * conv.stride_w - conv.left, conv.dilation_w, conv.filter_w, conv.in_w), x);
      ++x;
    }
  }
}

// Any multiplier: one output at a time, its inputs gathered.
void GeneralRow(const Depthwise& conv, const RowTaps& row, int64_t first, int64_t columns) {
  const float* filter = conv.filter + first * conv.filter_h * conv.filter_w;
  int64_t channel[kPanelColumns];
  for (int64_t j = 0; j < kPanelColumns; ++j) channel[j] = (first + std::min(j, columns - 1)) / conv.multiplier;
  for (int64_t x = 0; x < conv.out_w; ++x) {
    const int64_t origin_x = x * conv.stride_w - conv.left;
    const Taps taps = TapsInside(origin_x, conv.dilation_w, conv.filter_w, conv.in_w);
    float sum[kPanelColumns] = {};
    for (int64_t ky = row.rows.begin; ky < row.rows.end; ++ky) {
      const float* line = row.image + (row.origin_y + ky * conv.dilation_h) * conv.in_w * conv.channels;
      for (int64_t kx = taps.begin; kx < taps.end; ++kx) {
        const float* pixel = line + (origin_x + kx * conv.dilation_w) * conv.channels;
        const float* tap = filter + (ky * conv.filter_w + kx) * kPanelColumns;
        for (int64_t j = 0; j < kPanelColumns; ++j) sum[j] += pixel[channel[j]] * tap[j];
      }
    }
    float* to = row.out + x * conv.channels * conv.multiplier + first;
    for (int64_t j = 0; j < columns; ++j) to[j] = sum[j] + (conv.bias == nullptr ? 0.0F : conv.bias[first + j]);
  }
}

void DepthwiseRows(const Depthwise& conv, int64_t begin, int64_t end, Isa isa) {
  const int64_t outputs = conv.channels * conv.multiplier;
  for (int64_t y = begin; y < end; ++y) {
    RowTaps row;
    row.image = conv.image + y / conv.out_h * conv.in_h * conv.in_w * conv.channels;
    row.origin_y = y % conv.out_h * conv.stride_h - conv.top;
    row.rows = TapsInside(row.origin_y, conv.dilation_h, conv.filter_h, conv.in_h);
    row.out = conv.out + y * conv.out_w * outputs;
    if (conv.multiplier == 1) {
      OneToOneRow(conv, row);
    } else {
      for (int64_t first = 0; first < outputs; first += kPanelColumns) {
        GeneralRow(conv, row, first, std::min(kPanelColumns, outputs - first));
      }
    }
    Activate(conv.activation, conv.alpha, row.out, conv.out_w * outputs, isa);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

void RunDepthwise(const Depthwise& conv, int64_t begin, int64_t end, Isa isa) {
  WHERRY_SELECT(isa, DepthwiseRows)(conv, begin, end, isa);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
