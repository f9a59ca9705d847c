// Blocking of matrix products: panels of B become float32 once for each block, rows of A are copied tile by tile, and
// the tiles of tile-inl.h do the arithmetic. Follows Goto and van de Geijn, "Anatomy of high-performance matrix
// multiplication" (2008), with B stored in panels already.
#include "math/gemm.h"

#include <algorithm>

#ifndef WHERRY_MATH_GEMM_UNITS_
#define WHERRY_MATH_GEMM_UNITS_
namespace wherry::math {

// Parts of at least one and a half tiles share the rows evenly, and so do their tiles; smaller parts are whole tiles.
inline int64_t RowUnit(int64_t m, int64_t tile_rows, int64_t row_parts) {
  return 2 * m >= 3 * tile_rows * row_parts ? 1 : tile_rows;
}

// Pairs of panels, which a tile takes, where that makes no part longer.
inline int64_t PanelUnit(int64_t panels, int64_t parts) {
  const int64_t longest_of_pairs = ((panels + 1) / 2 + parts - 1) / parts * 2;
  return longest_of_pairs <= (panels + parts - 1) / parts ? 2 : 1;
}

}  // namespace wherry::math
#endif  // WHERRY_MATH_GEMM_UNITS_

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/gemm.cc"
#include "hwy/foreach_target.h"
#include "math/dispatch.h"
#include "math/gemm_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

// Panels and depth of a block of B: 256 KiB of float32 in the second-level cache, or, when few rows use it, 32 KiB in
// the first.
inline constexpr int64_t kBlockPanels = 16;
inline constexpr int64_t kFewRows = 3;
inline constexpr int64_t kFewRowsPanels = 8;
inline constexpr int64_t kFewRowsK = kRowProductDepth;

// With more rows to a block, what the first of its tiles waits for is little.
inline constexpr int64_t kAheadRowsOfBlock = 16 * kTileRows;

// Where a residual is C itself, sums may not wait in C for the next block of k: they wait beside it, 64 KiB at a time.
inline constexpr int64_t kSumFloats = 16 * 1024;
inline constexpr size_t kSumScratch = sizeof(float) * static_cast<size_t>(kSumFloats);

// Room for the rows of a tile.
inline size_t RowScratch(const GemmPlan& plan) {
  return sizeof(float) * static_cast<size_t>(std::clamp<int64_t>(plan.m, 0, kTileRows) * kTileStride);
}

int TileRows() { return kTileRows; }

// Where a product has no more rows than this, what makes a block of B float32 takes longer than what copies A for it:
// narrow blocks will do, and take little scratch memory.
inline constexpr int64_t kNarrowRows = 16;
inline constexpr int64_t kNarrowPanels = 4;

// Panels of a block in a task of more than kFewRows rows that holds none.
int64_t BlockPanels(const GemmPlan& plan) {
  return plan.dequantizes && plan.m <= kNarrowRows ? kNarrowPanels : kBlockPanels;
}

// Room for a block of B in float32, of a task with few rows too. Never less for more rows, columns or depth.
size_t BlockScratch(const GemmPlan& plan) {
  static_assert(kNarrowPanels <= kBlockPanels);
  if (!plan.dequantizes || plan.column_end <= plan.column_begin) return 0;
  const int64_t panels = (plan.column_end + kPanelColumns - 1) / kPanelColumns - plan.column_begin / kPanelColumns;
  const int64_t many = plan.m > kFewRows ? std::min(panels, BlockPanels(plan)) * std::min(plan.k, kBlockK) : 0;
  const int64_t few = std::min(panels, kFewRowsPanels) * std::min(plan.k, kFewRowsK);
  return sizeof(float) * static_cast<size_t>(std::max(many, few) * kPanelColumns);
}

// Where B is more than a block and a task has few rows of A, it copies them all first, and then reads B once, in the order
// in which it lies, two panels at a time: it may come from memory, and prefetchers like that.
inline constexpr int64_t kHeldBytes = 320 * 1024;
inline constexpr int64_t kHeldRows = 64;  // with more, B is not what takes time
inline constexpr int64_t kHeldPanels = 2;

inline constexpr int64_t HeldRowBytes(int64_t k) {
  return (k + kBlockK - 1) / kBlockK * kTileStride * static_cast<int64_t>(sizeof(float));
}

// Room for the rows that a task holds; 0 if none does. Never less for more rows, columns or depth.
int64_t HeldBytes(const GemmPlan& plan) {
  if (plan.dequantizes || plan.m <= kFewRows || plan.column_end <= plan.column_begin) return 0;
  if (plan.k <= kBlockPanels * kPanelColumns * kBlockK / (plan.column_end - plan.column_begin)) return 0;
  const int64_t row_bytes = HeldRowBytes(plan.k);
  return std::min(kHeldBytes, std::min(plan.m, kHeldRows) * row_bytes);
}

bool Holds(const GemmPlan& plan, int64_t rows) {
  return rows > kFewRows && rows <= kHeldRows && rows * HeldRowBytes(plan.k) <= HeldBytes(plan);
}

// Whether each task would hold all rows of A: the fewer tasks, the fewer copies. Not where cores may differ in speed.
bool HoldsAll(const GemmPlan& plan) { return HWY_ARCH_X86 && Holds(plan, plan.m); }

size_t ScratchBytes(const GemmPlan& plan, bool adds_residual) {
  static_assert(kHeldBytes % 64 == 0 && kTileStride * sizeof(float) % 64 == 0);
  static_assert(kSumFloats >= kTileRows * kBlockPanels * kPanelColumns);
  const bool sums_wait = adds_residual && plan.k > (plan.dequantizes ? kFewRowsK : kBlockK);
  return RowScratch(plan) + BlockScratch(plan) + (sums_wait ? kSumScratch : 0) + static_cast<size_t>(HeldBytes(plan));
}

// Bytes of a block of B that stays in the first-level cache, beside tiles of A and C, while all rows pass.
inline constexpr int64_t kNearBlockBytes = 40 * 1024;

// Rows of the tiles of a task that reads A where it lies. Six by four panels has the fewest loads; nine by three takes its
// place where it fills its tiles as well and six does not, as with the 49 rows of an image of 7 x 7, if the panels are
// threes but for few.
int InPlaceTileRows(int64_t rows, int64_t panels) {
  if (panels < 3) return 12;
  if (panels % 4 != 0 && panels % 3 == 0) return 9;
  const bool threes = panels >= 48 || (panels >= 8 && panels % 3 == 0);
  const int64_t of_six = (rows + 5) / 6 * 6;
  const int64_t of_nine = (rows + 8) / 9 * 9;
  return threes && rows < 64 && of_nine <= of_six && 20 * rows < 19 * of_six ? 9 : 6;
}

// The part of C in `rows` and `panels`, A being read where it lies: blocks of B of at least a tile's width, as deep as the
// first-level cache allows, or of more panels where k is small. Nothing is copied, and a load of A serves 3 or 4 vectors of
// B: the core, whose clock falls with what its loads take, runs faster. For instruction sets with kAnyStride.
// sums: where they wait when C is the residual too, kSumFloats.
void InPlaceTask(const GemmPlan& plan, const RowSource& a, const PanelMatrix& b, const Epilogue& epilogue, float* c,
                 int64_t ldc, Range rows, Range panels, float* sums) {
  constexpr int64_t kRowBytes = kPanelColumns * static_cast<int64_t>(sizeof(float));
  const int tile_rows = InPlaceTileRows(rows.size(), panels.size());
  const int64_t tiles = (rows.size() + tile_rows - 1) / tile_rows;
  const auto tile_row = [&](int64_t t) { return rows.begin + rows.size() * t / tiles; };
  int64_t width = 0;
  for (int64_t done = 0; done < panels.size(); done += width) {
    const auto next = [&] { return FittingPanels(tile_rows, TilePanels(tile_rows), panels.size() - done - width); };
    width = 0;
    width = next();
    while (done + width < panels.size() && (width + next()) * plan.k * kRowBytes <= kNearBlockBytes) width += next();
    Block block;
    block.panels.begin = plan.falling ? panels.end - done - width : panels.begin + done;
    block.panels.end = block.panels.begin + width;
    const bool over_residual = epilogue.residual != nullptr && epilogue.residual == c;
    // There is room for sums that wait only where k is more than kBlockK.
    const int64_t depth = over_residual && plan.k <= kBlockK ? kBlockK : kNearBlockBytes / (width * kRowBytes);
    const int64_t depths = std::max<int64_t>(1, (plan.k + depth - 1) / depth);
    const bool apart = over_residual && depths > 1;
    const int64_t sum_stride = width * kPanelColumns;
    const int64_t tiles_at_once = apart ? kSumFloats / (kTileRows * sum_stride) : tiles;
    for (int64_t t0 = 0; t0 < tiles; t0 += tiles_at_once) {
      const int64_t t1 = std::min(tiles, t0 + tiles_at_once);
      for (int64_t i = 0; i < depths; ++i) {
        block.k = {plan.k * i / depths / 4 * 4, i + 1 == depths ? plan.k : plan.k * (i + 1) / depths / 4 * 4};
        FindBlock(plan, b, nullptr, &block);
        Ahead ahead;
        if (plan.k > 0 && t1 == tiles && rows.size() <= kAheadRowsOfBlock) {
          ahead.tiles = tiles;
          ahead.panel_stride = block.panel_stride;
          if (i + 1 < depths) {
            ahead.b = block.b + block.k.size() * kPanelColumns;
          } else if (done + width < panels.size()) {
            const int64_t to_next = plan.falling ? -next() : width;
            ahead.b = block.b + to_next * block.panel_stride - block.k.begin * kPanelColumns;
          }
        }
        for (int64_t t = t0; t < t1; ++t) {
          const int64_t row = tile_row(t);
          const Sums waiting = apart ? Sums{sums + (row - tile_row(t0)) * sum_stride, sum_stride}
                                     : Sums{c + row * ldc + block.panels.begin * kPanelColumns, ldc};
          ahead.tile = t;
          RunTileRow(plan, epilogue, block, ahead, a.data + row * a.stride + block.k.begin, a.stride, row,
                     tile_row(t + 1) - row, waiting, c, ldc);
        }
      }
    }
  }
}

void GemmTask(const GemmPlan& plan, const RowSource& a, const PanelMatrix& b, const Epilogue& epilogue, float* c,
              int64_t ldc, int64_t task, std::byte* scratch) {
  float* const a_tile = reinterpret_cast<float*>(scratch);
  float* const b_block = reinterpret_cast<float*>(scratch + RowScratch(plan));
  const Range rows = Part(plan.m, RowUnit(plan.m, kTileRows, plan.row_parts), task / plan.column_parts, plan.row_parts);
  const int64_t first_panel = plan.column_begin / kPanelColumns;
  const int64_t panel_count = (plan.column_end + kPanelColumns - 1) / kPanelColumns - first_panel;
  const Range part =
      Part(panel_count, PanelUnit(panel_count, plan.column_parts), task % plan.column_parts, plan.column_parts);
  std::byte* const behind_block = scratch + RowScratch(plan) + BlockScratch(plan);
  float* const apart_sums = reinterpret_cast<float*>(behind_block + HeldBytes(plan));
  const bool few = rows.size() <= kFewRows;
  if (kAnyStride && !few && a.copy == nullptr && !plan.dequantizes) {
    InPlaceTask(plan, a, b, epilogue, c, ldc, rows, {first_panel + part.begin, first_panel + part.end}, apart_sums);
    return;
  }
  const bool holds = Holds(plan, rows.size());
  const int64_t block_panels = few ? kFewRowsPanels : holds ? kHeldPanels : BlockPanels(plan);
  // One row needs no copy that puts rows close together, and no block that other rows will read again.
  const bool in_place = rows.size() == 1 && a.copy == nullptr;
  const int64_t block_k = few && plan.dequantizes ? kFewRowsK : in_place ? plan.k : kBlockK;
  const int64_t tiles = (rows.size() + kTileRows - 1) / kTileRows;
  const auto tile_row = [&](int64_t t) { return rows.begin + rows.size() * t / tiles; };
  float* const held = reinterpret_cast<float*>(behind_block);
  if (holds) {
    for (int64_t k0 = 0; k0 < plan.k; k0 += kBlockK) {
      float* const to = held + k0 / kBlockK * rows.size() * kTileStride;
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t row = tile_row(t);
        CopyTile(a, row, tile_row(t + 1) - row, k0, std::min(plan.k, k0 + kBlockK),
                 to + (row - rows.begin) * kTileStride);
      }
    }
  }
  const bool apart = epilogue.residual != nullptr && epilogue.residual == c && plan.k > block_k;
  const int64_t sum_stride = block_panels * kPanelColumns;
  const int64_t tiles_at_once = apart ? kSumFloats / (kTileRows * sum_stride) : tiles;

  const int64_t blocks = (part.size() + block_panels - 1) / block_panels;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t p0 = part.begin + (plan.falling ? blocks - 1 - i : i) * block_panels;
    Block block;
    block.panels = {first_panel + p0, first_panel + std::min(p0 + block_panels, part.end)};
    for (int64_t t0 = 0; t0 < tiles; t0 += tiles_at_once) {
      const int64_t t1 = std::min(tiles, t0 + tiles_at_once);
      int64_t k0 = 0;
      do {  // once for k = 0, to store the bias
        block.k = {k0, std::min(plan.k, k0 + block_k)};
        FindBlock(plan, b, b_block, &block);
        Ahead ahead;
        if (!plan.dequantizes && plan.k > 0 && t1 == tiles && rows.size() <= kAheadRowsOfBlock) {
          ahead.panel_stride = block.panel_stride;
          ahead.tiles = tiles;
          if (block.k.end < plan.k) {
            ahead.b = block.b + block.k.size() * kPanelColumns;
          } else if (i + 1 < blocks) {
            const int64_t panels = plan.falling ? -block_panels : block_panels;
            ahead.b = block.b + panels * block.panel_stride - block.k.begin * kPanelColumns;
          }
        }
        for (int64_t t = t0; t < t1; ++t) {
          const int64_t row = tile_row(t);
          const int64_t row_end = tile_row(t + 1);
          const float* a_rows = a_tile;  // its stride does not matter to a single row
          if (in_place) {
            a_rows = a.data + row * a.stride + block.k.begin;
          } else if (holds) {
            a_rows = held + (k0 / kBlockK * rows.size() + row - rows.begin) * kTileStride;
          } else {
            CopyTile(a, row, row_end - row, block.k.begin, block.k.end, a_tile);
          }
          const Sums sums = apart ? Sums{apart_sums + (t - t0) * kTileRows * sum_stride, sum_stride}
                                  : Sums{c + row * ldc + block.panels.begin * kPanelColumns, ldc};
          ahead.tile = t;
          RunTileRow(plan, epilogue, block, ahead, a_rows, kTileStride, row, row_end - row, sums, c, ldc);
        }
        k0 += block_k;
      } while (k0 < plan.k);
    }
  }
}

// sums [count][16] += a x panels that begin `stride` floats apart.
inline void AddTiles(const float* a, const float* b, int64_t stride, int64_t depth, int64_t count, TileStore store,
                     float* sums) {
  int width = TilePanels(1);
  for (int64_t p = 0; p < count; p += width) {
    width = FittingPanels(1, width, count - p);
    float* const at = sums + p * kPanelColumns;
    store.start = at;
    FindTile(1, width)(a, 0, b + p * stride, stride, depth, at, 0, store);
  }
}

void AddRow(const float* a, int64_t k, const PanelMatrix& b, const PanelRun& panels, float* sums, std::byte* scratch) {
  const TileStore store;
  if (b.dequantize == nullptr) {
    const float* const from = static_cast<const float*>(b.data) + (panels.first * b.k + b.first_row) * kPanelColumns;
    AddTiles(a, from, panels.step * b.k * kPanelColumns, k, panels.count, store, sums);
    return;
  }
  float* const block = reinterpret_cast<float*>(scratch);
  constexpr int64_t kStride = kFewRowsK * kPanelColumns;
  for (int64_t k0 = 0; k0 < k; k0 += kFewRowsK) {
    const int64_t k1 = std::min(k, k0 + kFewRowsK);
    for (int64_t p = 0; p < panels.count; ++p) {
      b.dequantize(b, panels.first + p * panels.step, b.first_row + k0, b.first_row + k1, block + p * kStride);
    }
    AddTiles(a + k0, block, kStride, k1 - k0, panels.count, store, sums);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {
namespace {

// Below this many multiply-adds, waking another thread costs more than it saves.
constexpr double kSerialWork = 200e3;
// Above this many for each thread, there are more tasks than threads: whoever is done first takes the next one.
constexpr double kFineWork = 4e6;
constexpr int64_t kTasksPerThread = 4;

// Behind the multiplies of so many rows a panel of B arrives: from the second-level cache, or from further away.
constexpr double kNearRows = 24.0;
constexpr double kFarRows = 40.0;
constexpr double kNearBytes = 1.3e6;

// Relative time of the slowest task when the work is cut like this. Units: vector operations for each k, roughly.
double Cost(const GemmPlan& plan, int threads, int64_t tile_rows, int64_t row_parts, int64_t column_parts) {
  const int64_t unit = RowUnit(plan.m, tile_rows, row_parts);
  const int64_t units = (plan.m + unit - 1) / unit;
  const int64_t panels = (plan.column_end - plan.column_begin + kPanelColumns - 1) / kPanelColumns;
  const double rows = static_cast<double>(std::min(plan.m, (units + row_parts - 1) / row_parts * unit));
  const double columns = static_cast<double>((panels + column_parts - 1) / column_parts * kPanelColumns);
  const double n = static_cast<double>(plan.column_end - plan.column_begin);
  const double k = static_cast<double>(std::max<int64_t>(plan.k, 1));
  const double dequantize = plan.dequantizes ? 3.0 : 0.5;
  const double arrives = n * k * sizeof(float) > kNearBytes ? kFarRows : kNearRows;
  // Steps before and after are cut by rows, so threads that share rows here fetch half of them, and half of what they
  // make, from each other's caches.
  const bool shares_rows = column_parts > 1 && row_parts % threads != 0;
  const double fetched = shares_rows ? rows * (16.0 + 8.0 * n / k) : 0.0;
  return std::max(rows, arrives) * columns + dequantize * columns + 3.0 * rows + fetched;
}

}  // namespace

bool PaysToSplit(int64_t m, int64_t k, int64_t n) {
  return static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) >= kSerialWork;
}

GemmPlan PlanGemm(int64_t m, int64_t k, int64_t column_begin, int64_t column_end, bool dequantizes, Isa isa,
                  int threads, bool adds_residual) {
  GemmPlan plan;
  plan.m = m;
  plan.k = k;
  plan.column_begin = column_begin;
  plan.column_end = column_end;
  plan.isa = isa;
  plan.dequantizes = dequantizes;
  plan.scratch_bytes = WHERRY_SELECT(isa, ScratchBytes)(plan, adds_residual);
  if (m <= 0 || column_end <= column_begin) return plan;
  plan.row_parts = 1;
  plan.column_parts = 1;
  const int64_t n = column_end - column_begin;
  if (threads < 2 || !PaysToSplit(m, k, n)) return plan;
  const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  const int64_t tile_rows = WHERRY_SELECT(isa, TileRows)();
  const bool fine = work >= kFineWork * threads && !WHERRY_SELECT(isa, HoldsAll)(plan);
  const int64_t tasks = threads * (fine ? kTasksPerThread : 1);
  double best = Cost(plan, threads, tile_rows, 1, 1);
  for (int64_t row_parts = 1; row_parts <= tasks; ++row_parts) {
    const int64_t column_parts = tasks / row_parts;
    const double cost = Cost(plan, threads, tile_rows, row_parts, column_parts);
    if (cost < best) {
      best = cost;
      plan.row_parts = row_parts;
      plan.column_parts = column_parts;
    }
  }
  return plan;
}

void RunGemmTask(const GemmPlan& plan, const RowSource& a, const PanelMatrix& b, const Epilogue& epilogue, float* c,
                 int64_t ldc, int64_t task, std::byte* scratch) {
  WHERRY_SELECT(plan.isa, GemmTask)(plan, a, b, epilogue, c, ldc, task, scratch);
}

void AddRowProduct(const float* a, int64_t k, const PanelMatrix& b, const PanelRun& panels, float* sums, Isa isa,
                   std::byte* scratch) {
  WHERRY_SELECT(isa, AddRow)(a, k, b, panels, sums, scratch);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
