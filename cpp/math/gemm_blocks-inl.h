// What the ways through a product have in common: a block of B, and a tile of rows times all panels of one. Compiled once for
// each instruction set (Highway's per-target include guard); for gemm.cc only.
#if defined(WHERRY_MATH_GEMM_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WHERRY_MATH_GEMM_BLOCKS_INL_H_
#undef WHERRY_MATH_GEMM_BLOCKS_INL_H_
#else
#define WHERRY_MATH_GEMM_BLOCKS_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "hwy/highway.h"
#include "math/copy-inl.h"
#include "math/gemm.h"
#include "math/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

struct Range {
  int64_t begin;
  int64_t end;
  int64_t size() const { return end - begin; }
};

// Part `index` of `parts` of [0, count), in units of `unit`.
inline Range Part(int64_t count, int64_t unit, int64_t index, int64_t parts) {
  const int64_t units = (count + unit - 1) / unit;
  return {std::min(count, units * index / parts * unit), std::min(count, units * (index + 1) / parts * unit)};
}

inline void CopyTile(const RowSource& a, int64_t row, int64_t rows, int64_t k0, int64_t k1, float* out) {
  if (a.copy != nullptr) {
    a.copy(a.source, row, rows, k0, k1, out, kTileStride);
    return;
  }
  for (int64_t r = 0; r < rows; ++r) {
    CopyRun(a.data + (row + r) * a.stride + k0, k1 - k0, out + r * kTileStride);
  }
}

// One tile of `width` columns at an edge: some of them are not C's, so it is computed beside C.
inline void EdgeTile(TileFunction tile, const float* a, int64_t a_stride, const float* b, int64_t panel_stride, int64_t depth, float* c,
                     int64_t ldc, int64_t rows, int64_t width, Range columns, TileStore store) {
  constexpr int64_t kWidth = kPanelColumns * 8;
  alignas(64) float beside[static_cast<size_t>(kTileRows * kWidth)];
  alignas(64) float residual[static_cast<size_t>(kTileRows * kWidth)];
  alignas(64) float bias[static_cast<size_t>(kWidth)];
  const auto copy_rows = [&](const float* from, int64_t stride, float* to) {
    for (int64_t r = 0; r < rows; ++r) {
      std::memset(to + r * kWidth, 0, sizeof(float) * static_cast<size_t>(width));
      CopyRun(from + r * stride + columns.begin, columns.size(), to + r * kWidth + columns.begin);
    }
  };
  if (store.start != nullptr) {
    copy_rows(store.start, store.start_stride, beside);
    store.start = beside;
    store.start_stride = kWidth;
  }
  if (store.residual != nullptr) {
    copy_rows(store.residual, store.residual_stride, residual);
    store.residual = residual;
    store.residual_stride = kWidth;
  }
  if (store.bias != nullptr) {
    std::memset(bias, 0, sizeof(bias));
    CopyRun(store.bias + columns.begin, columns.size(), bias + columns.begin);
    store.bias = bias;
  }
  tile(a, a_stride, b, panel_stride, depth, beside, kWidth, store);
  for (int64_t r = 0; r < rows; ++r) {
    CopyRun(beside + r * kWidth + columns.begin, columns.size(), c + r * ldc + columns.begin);
  }
}

struct Block {
  const float* b;        // first panel of the block, row k0
  int64_t panel_stride;  // floats
  Range panels;
  Range k;
};

// Where the sums of a tile's rows are between one block of k and the next, from the first column of the block on.
struct Sums {
  float* data;
  int64_t stride;
};

// Of the block of B that comes next, the lines that one of several tiles fetches while it multiplies: weights that come
// from memory arrive in the time of all tiles of a block, not of the first.
struct Ahead {
  const float* b = nullptr;  // null for none
  int64_t panel_stride = 0;
  int64_t tile = 0;  // of `tiles`
  int64_t tiles = 1;

  void Find(int64_t panel, int width, int64_t depth, TileStore* store) const {
    store->ahead[0] = nullptr;
    store->ahead_step = 0;
    if (b == nullptr) return;
    // A tile that fetches takes a new line each time, as fetching one twice costs as much as fetching two.
    const int64_t parts = kAnyStride ? std::min<int64_t>(tiles, 2 * width) : tiles;
    const int64_t part = tile * parts / tiles;
    if (tile > 0 && (tile - 1) * parts / tiles == part) return;
    const int64_t lines = width * depth / parts;
    for (int64_t i = 0; i < 2; ++i) {
      const int64_t line = width * depth * part / parts + lines / 2 * i;
      store->ahead[i] = b + (panel + line / depth) * panel_stride + line % depth * kPanelColumns;
    }
    store->ahead_step = std::min(kPanelColumns, width * kPanelColumns / parts);
  }
};

// All panels of a block times one tile of A.
inline void RunTileRow(const GemmPlan& plan, const Epilogue& epilogue, const Block& block, const Ahead& ahead,
                       const float* a, int64_t a_stride, int64_t row, int64_t rows, const Sums& sums, float* c,
                       int64_t ldc) {
  const bool first = block.k.begin == 0;
  const bool last = block.k.end == plan.k;
  TileStore store;
  store.start_stride = first ? ldc : sums.stride;
  store.residual_stride = ldc;
  const Activation activation = last ? epilogue.activation : Activation::kNone;
  store.clamps = activation == Activation::kRelu || activation == Activation::kRelu6;
  const Clamp clamp = ClampOf(activation);
  store.low = clamp.low;
  store.high = clamp.high;
  float* c_row = c + row * ldc;
  int width = TilePanels(static_cast<int>(rows));
  for (int64_t panel = block.panels.begin; panel < block.panels.end; panel += width) {
    width = FittingPanels(static_cast<int>(rows), width, block.panels.end - panel);
    const float* b = block.b + (panel - block.panels.begin) * block.panel_stride;
    const int64_t column = panel * kPanelColumns;
    const Range inside = {std::max(plan.column_begin, column),
                          std::min(plan.column_end, column + width * kPanelColumns)};
    const bool half = TakesHalf(static_cast<int>(rows), width) && inside.begin == column &&
                      inside.size() == width * kPanelColumns - kPanelColumns / 2;
    const TileFunction tile = FindTile(static_cast<int>(rows), width, half);
    float* const held = sums.data + (panel - block.panels.begin) * kPanelColumns;
    store.start = !first ? held : epilogue.accumulate ? c_row + column : nullptr;
    ahead.Find(panel - block.panels.begin, width, block.k.size(), &store);
    store.bias = last && epilogue.bias != nullptr ? epilogue.bias + column : nullptr;
    store.residual = last && epilogue.residual != nullptr ? epilogue.residual + row * ldc + column : nullptr;
    if (store.residual != nullptr) {  // on its way while the tile multiplies
      for (int64_t r = 0; r < rows; ++r) {
        for (int v = 0; v < width; ++v) __builtin_prefetch(store.residual + r * ldc + v * kPanelColumns);
      }
    }
    float* const to = last ? c_row + column : held;
    const int64_t stride = last ? ldc : sums.stride;
    if (half || inside.size() == width * kPanelColumns) {
      tile(a, a_stride, b, block.panel_stride, block.k.size(), to, stride, store);
    } else {
      EdgeTile(tile, a, a_stride, b, block.panel_stride, block.k.size(), to, stride, rows, width * kPanelColumns,
               {inside.begin - column, inside.end - column}, store);
    }
  }
  if (last && epilogue.activation > Activation::kRelu6) {  // the block's part of these rows is still in the first cache
    const Range inside = {std::max(plan.column_begin, block.panels.begin * kPanelColumns),
                          std::min(plan.column_end, block.panels.end * kPanelColumns)};
    float* const from = c_row + inside.begin;
    Activate(epilogue.activation, epilogue.alpha, {from, from, ldc, rows, inside.size()}, plan.isa);
  }
}

// Finds the block's panels and rows of B in float32: in B itself, or made in b_block.
inline void FindBlock(const GemmPlan& plan, const PanelMatrix& b, float* b_block, Block* block) {
  if (!plan.dequantizes) {
    block->panel_stride = b.k * kPanelColumns;
    block->b = static_cast<const float*>(b.data) + block->panels.begin * block->panel_stride +
               (b.first_row + block->k.begin) * kPanelColumns;
    return;
  }
  block->b = b_block;
  block->panel_stride = block->k.size() * kPanelColumns;
  for (int64_t panel = block->panels.begin; panel < block->panels.end; ++panel) {
    b.dequantize(b, panel, b.first_row + block->k.begin, b.first_row + block->k.end,
                 b_block + (panel - block->panels.begin) * block->panel_stride);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
