// Square filters of 3 or 5 taps, which is what networks have: two output rows and several columns at once, one vector
// of channels after the other, so that every input that is loaded serves all the outputs that see it and few taps stay
// in registers. All others: a panel of 16 channels at a time, neighbouring outputs sharing each load of the filter.
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
// Neighbouring outputs at once, as many as registers hold: of any filter, and of each row of a square one.
inline constexpr int kOutputs = kDepthVectors == 1 ? 8 : HWY_ARCH_X86 && kDepthVectors == 4 ? 2 : 4;
inline constexpr int kSquareColumns = HWY_ARCH_X86 && kDepthVectors != 1 ? 2 : 4;
inline constexpr int kSquareRows = 2;

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
  const auto& [h, w] = conv.window;
  const int64_t step = w.stride * conv.channels;
  for (int64_t ky = row.rows.begin; ky < row.rows.end; ++ky) {
    const int64_t column = x * w.stride - w.before + taps.begin * w.dilation;
    const float* pixel = row.image + ((row.origin_y + ky * h.dilation) * w.in + column) * conv.channels + first;
    const float* tap = conv.filter + first * h.filter * w.filter + (ky * w.filter + taps.begin) * kPanelColumns;
    for (int64_t kx = taps.begin; kx < taps.end; ++kx) {
      HWY_UNROLL(8)
      for (int v = 0; v < kDepthVectors; ++v) {
        const DepthVector weight = hn::LoadU(d, tap + v * kDepthLanes);
        HWY_UNROLL(8)
        for (int t = 0; t < kCount; ++t) {
          sum[t][v] = hn::MulAdd(LoadLanes<kWhole>(pixel + t * step, v, columns), weight, sum[t][v]);
        }
      }
      pixel += w.dilation * conv.channels;
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

// kCount outputs from column x on, of all channels from `first` on: memory is read in the order in which it lies.
template <int kCount>
void ChannelsFrom(const Depthwise& conv, const RowTaps& row, int64_t first, Taps taps, int64_t x) {
  for (; first + kPanelColumns <= conv.channels; first += kPanelColumns) {
    Outputs<kCount, true>(conv, row, first, kPanelColumns, taps, x);
  }
  if (first < conv.channels) Outputs<kCount, false>(conv, row, first, conv.channels - first, taps, x);
}

// Output row of channels from `first` on.
void AnyRow(const Depthwise& conv, const RowTaps& row, int64_t first) {
  const auto& [h, w] = conv.window;
  // Outputs [inside_begin, inside_end) have all their taps inside.
  const int64_t extent = (w.filter - 1) * w.dilation;
  const int64_t inside_begin = std::min((w.before + w.stride - 1) / w.stride, w.out);
  const int64_t last = w.in - 1 - extent + w.before;  // of x * w.stride
  const int64_t inside_end = std::clamp(last < 0 ? 0 : last / w.stride + 1, inside_begin, w.out);
  int64_t x = 0;
  while (x < w.out) {
    if (x >= inside_begin && x + kOutputs <= inside_end) {
      ChannelsFrom<kOutputs>(conv, row, first, {0, w.filter}, x);
      x += kOutputs;
    } else {
      ChannelsFrom<1>(conv, row, first,
                      TapsInside(x * w.stride - w.before, w.dilation, w.filter, w.in), x);
      ++x;
    }
  }
}

// Channels that are computed as square filters: all where they fill vectors, else those that fill panels.
inline int64_t SquareChannels(const Depthwise& conv) {
  return conv.channels % kDepthLanes == 0 ? conv.channels : conv.channels / kPanelColumns * kPanelColumns;
}

// Two output rows of a square filter, and the image rows that they see.
template <int kTaps, int kStride>
struct SquareRows {
  static constexpr int kInRows = kStride * (kSquareRows - 1) + kTaps;
  static constexpr int kInColumns = kStride * (kSquareColumns - 1) + kTaps;

  const float* in[kInRows];  // null outside of the image
  bool inside;               // none of those that count is
  float* out[kSquareRows];
  int count;  // of output rows; what is computed for others is dropped
};

alignas(64) inline constexpr float kZeros[static_cast<size_t>(kPanelColumns)] = {};

// The clamp and the bias of a vector of channels.
struct SquareEnd {
  DepthVector bias;
  DepthVector low;
  DepthVector high;
};

// The taps of a vector of channels: nine of them in registers, more in memory.
template <int kTaps>
struct SquareFilter {
  static constexpr bool kHeld = kTaps == 3;

  const float* from;
  DepthVector held[kHeld ? kTaps * kTaps : 1];

  explicit SquareFilter(const float* taps) : from(taps) {
    for (int tap = 0; kHeld && tap < kTaps * kTaps; ++tap) held[tap] = Load(tap);
  }
  HWY_INLINE DepthVector Load(int tap) const { return hn::LoadU(DepthTag(), from + tap * kPanelColumns); }
  HWY_INLINE DepthVector Tap(int tap) const { return kHeld ? held[kHeld ? tap : 0] : Load(tap); }
};

// kSquareRows x kSquareColumns outputs of one vector of channels; `column` is the image column of the first one's first
// tap. kInside: all taps lie inside the image and all columns exist. Every sum runs over rising kx, then ky.
template <int kTaps, int kStride, bool kInside>
HWY_INLINE void SquareBlock(const Depthwise& conv, const SquareRows<kTaps, kStride>& rows, int64_t channel,
                            int64_t column, const SquareFilter<kTaps>& filter, const SquareEnd& end, int64_t x,
                            int64_t count) {
  using Rows = SquareRows<kTaps, kStride>;
  const DepthTag d;
  DepthVector sum[kSquareRows][kSquareColumns];
  HWY_UNROLL(2)
  for (int r = 0; r < kSquareRows; ++r) {
    HWY_UNROLL(4)
    for (int t = 0; t < kSquareColumns; ++t) sum[r][t] = end.bias;
  }
  int64_t offset = column * conv.channels + channel;
  HWY_UNROLL(16)
  for (int j = 0; j < Rows::kInColumns; ++j) {
    DepthVector value[Rows::kInRows];
    HWY_UNROLL(8)
    for (int i = 0; i < Rows::kInRows; ++i) {
      if constexpr (kInside) {
        value[i] = hn::LoadU(d, rows.in[i] + offset);
      } else {
        const bool outside = rows.in[i] == nullptr || column + j < 0 || column + j >= conv.window.w.in;
        value[i] = hn::LoadU(d, outside ? kZeros : rows.in[i] + offset);
      }
    }
    HWY_UNROLL(4)
    for (int t = 0; t < kSquareColumns; ++t) {
      const int kx = j - t * kStride;
      if (kx < 0 || kx >= kTaps) continue;
      HWY_UNROLL(8)
      for (int ky = 0; ky < kTaps; ++ky) {
        HWY_UNROLL(2)
        for (int r = 0; r < kSquareRows; ++r) {
          sum[r][t] = hn::MulAdd(value[r * kStride + ky], filter.Tap(ky * kTaps + kx), sum[r][t]);
        }
      }
    }
    offset += conv.channels;
  }
  HWY_UNROLL(2)
  for (int r = 0; r < kSquareRows; ++r) {
    if (r >= rows.count) break;
    float* out = rows.out[r] + x * conv.channels + channel;
    HWY_UNROLL(4)
    for (int t = 0; t < kSquareColumns; ++t) {
      if (!kInside && t >= count) break;
      // The second operand is the one that x86 returns for NaN.
      hn::StoreU(hn::Min(end.high, hn::Max(end.low, sum[r][t])), d, out + t * conv.channels);
    }
  }
}

// Columns [begin, end) of two rows, of those channels. end - begin is a multiple of kSquareColumns unless the row ends
// there.
template <int kTaps, int kStride>
void SquareChunk(const Depthwise& conv, const SquareRows<kTaps, kStride>& rows, int64_t begin, int64_t end) {
  const auto& [h, w] = conv.window;
  const DepthTag d;
  const math::Clamp clamp = ClampOf(conv.activation);
  for (int64_t channel = 0; channel < SquareChannels(conv); channel += kDepthLanes) {
    const SquareFilter<kTaps> filter(conv.filter + channel / kPanelColumns * kPanelColumns * kTaps * kTaps +
                                     channel % kPanelColumns);
    const SquareEnd last = {conv.bias == nullptr ? hn::Zero(d) : hn::LoadU(d, conv.bias + channel),
                            hn::Set(d, clamp.low), hn::Set(d, clamp.high)};
    for (int64_t from = begin; from < end; from += kSquareColumns) {
      // The last columns are computed with some of those before them.
      const int64_t x = std::max<int64_t>(0, std::min(from, w.out - kSquareColumns));
      const int64_t column = x * kStride - w.before;
      const bool inside = rows.inside && column >= 0 && w.out >= kSquareColumns &&
                          column + SquareRows<kTaps, kStride>::kInColumns <= w.in;
      if (inside) {
        SquareBlock<kTaps, kStride, true>(conv, rows, channel, column, filter, last, x, kSquareColumns);
      } else {
        SquareBlock<kTaps, kStride, false>(conv, rows, channel, column, filter, last, x, w.out - x);
      }
    }
  }
}

// Any multiplier: one output at a time, its inputs gathered.
void GeneralRow(const Depthwise& conv, const RowTaps& row, int64_t first, int64_t columns) {
  const auto& [h, w] = conv.window;
  const float* filter = conv.filter + first * h.filter * w.filter;
  int64_t channel[kPanelColumns];
  for (int64_t j = 0; j < kPanelColumns; ++j) channel[j] = (first + std::min(j, columns - 1)) / conv.multiplier;
  for (int64_t x = 0; x < w.out; ++x) {
    const int64_t origin_x = x * w.stride - w.before;
    const Taps taps = TapsInside(origin_x, w.dilation, w.filter, w.in);
    float sum[kPanelColumns] = {};
    for (int64_t ky = row.rows.begin; ky < row.rows.end; ++ky) {
      const float* line = row.image + (row.origin_y + ky * h.dilation) * w.in * conv.channels;
      for (int64_t kx = taps.begin; kx < taps.end; ++kx) {
        const float* pixel = line + (origin_x + kx * w.dilation) * conv.channels;
        const float* tap = filter + (ky * w.filter + kx) * kPanelColumns;
        for (int64_t j = 0; j < kPanelColumns; ++j) sum[j] += pixel[channel[j]] * tap[j];
      }
    }
    float* to = row.out + x * conv.channels * conv.multiplier + first;
    for (int64_t j = 0; j < columns; ++j) to[j] = sum[j] + (conv.bias == nullptr ? 0.0F : conv.bias[first + j]);
  }
}

RowTaps RowOf(const Depthwise& conv, int64_t y) {
  const auto& [h, w] = conv.window;
  RowTaps row;
  row.image = conv.image + y / h.out * h.in * w.in * conv.channels;
  row.origin_y = y % h.out * h.stride - h.before;
  row.rows = TapsInside(row.origin_y, h.dilation, h.filter, h.in);
  row.out = conv.out + y * w.out * conv.channels * conv.multiplier;
  return row;
}

// Output rows y and, when `count` is 2, y + 1, which are of the same image.
template <int kTaps, int kStride>
void SquareRowsFrom(const Depthwise& conv, int64_t y, int count) {
  const auto& [h, w] = conv.window;
  using Rows = SquareRows<kTaps, kStride>;
  const RowTaps first = RowOf(conv, y);
  Rows rows;
  rows.count = count;
  rows.inside = true;
  for (int i = 0; i < Rows::kInRows; ++i) {
    const int64_t line = first.origin_y + i;
    const bool inside = line >= 0 && line < h.in;
    const bool counts = i < kStride * (count - 1) + kTaps;
    rows.inside = rows.inside && (inside || !counts);
    // A row that does not count must merely be readable.
    rows.in[i] = inside ? first.image + line * w.in * conv.channels : nullptr;
    if (!counts && rows.inside) rows.in[i] = rows.in[0];
  }
  for (int r = 0; r < kSquareRows; ++r) rows.out[r] = first.out + r * w.out * conv.channels;
  // All channels of a few columns, then the next: measured best of 4, 8, 16, 32 and all columns, as memory is read
  // nearly as it lies and the taps of a vector of channels still serve two blocks.
  constexpr int64_t kChunk = 2 * kSquareColumns;
  for (int64_t x = 0; x < w.out; x += kChunk) {
    SquareChunk<kTaps, kStride>(conv, rows, x, std::min(x + kChunk, w.out));
  }
}

using SquareFunction = void (*)(const Depthwise& conv, int64_t y, int count);

// Null for filters that are not square, or other than those below.
SquareFunction FindSquare(const Depthwise& conv) {
  const auto& [h, w] = conv.window;
  if (conv.multiplier != 1 || h.dilation != 1 || w.dilation != 1) return nullptr;
  if (h.filter != w.filter || h.stride != w.stride) return nullptr;
  if (h.filter == 3) {
    return h.stride == 1 ? &SquareRowsFrom<3, 1> : h.stride == 2 ? &SquareRowsFrom<3, 2> : nullptr;
  }
  if (h.filter == 5) {
    return h.stride == 1 ? &SquareRowsFrom<5, 1> : h.stride == 2 ? &SquareRowsFrom<5, 2> : nullptr;
  }
  return nullptr;
}

void DepthwiseRows(const Depthwise& conv, int64_t begin, int64_t end, Isa isa) {
  const auto& [h, w] = conv.window;
  const int64_t outputs = conv.channels * conv.multiplier;
  const SquareFunction square = FindSquare(conv);
  const int64_t squares = square == nullptr ? 0 : SquareChannels(conv);
  const bool clamped = squares == outputs && conv.activation <= Activation::kRelu6;
  // Upwards: the last rows of an image that another loop just wrote are still in the cache.
  for (int64_t y = end; y > begin;) {
    const int count = square != nullptr && y - 1 > begin && (y - 1) % h.out != 0 ? 2 : 1;
    y -= count;
    if (squares > 0) square(conv, y, count);
    for (int64_t one = y; one < y + count; ++one) {
      const RowTaps row = RowOf(conv, one);
      if (conv.multiplier != 1) {
        for (int64_t first = 0; first < outputs; first += kPanelColumns) {
          GeneralRow(conv, row, first, std::min(kPanelColumns, outputs - first));
        }
      } else if (squares < outputs) {
        AnyRow(conv, row, squares);
      }
      if (!clamped) Activate(conv.activation, conv.alpha, row.out, w.out * outputs, isa);
    }
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
