// Products of a transformed filter in memory, in the tiles of tile-inl.h, and the entry points.
#include "math/winograd.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/winograd.cc"
#include "hwy/foreach_target.h"
#include "math/dispatch.h"
#include "math/winograd_blocks-inl.h"
#include "math/winograd_registers-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

// The filter is transformed for two panels at once, and for two rows of points: a third of the scratch memory for some
// more loads.
inline constexpr int64_t kPairPanels = 2;
inline constexpr int64_t kPairColumns = kPairPanels * kPanelColumns;

// Scratch memory of a product task, in floats.
struct TaskScratch {
  int64_t taps;      // dequantized: [panel][9][channels][16]
  int64_t filter;    // transformed, twice: [panel][two rows of points][channels + 1][16]; 1 more keeps points
                     // out of each other's cache sets
  int64_t products;  // [strip][point][strip_rows][32]

  explicit TaskScratch(const WinogradPlan& plan) {
    const int64_t points = int64_t{plan.tile + 2} * (plan.tile + 2);
    taps = plan.dequantizes ? kPairColumns * 9 * plan.block_channels : 0;
    filter = kPairColumns * (plan.block_channels + 1) * 2 * (plan.tile + 2);
    int64_t rows = 0;  // blocks differ by a tile, and with fewer tiles a strip may be longer
    for (int64_t tiles = std::max(1, plan.block_tiles - 1); tiles <= plan.block_tiles; ++tiles) {
      const int64_t strips = (tiles + kTileRows - 1) / kTileRows;
      rows = std::max(rows, strips * ((tiles + strips - 1) / strips));
    }
    products = kPairColumns * points * rows;
  }
  int64_t floats() const { return taps + 2 * filter + products; }
};

// A step of a product task: two panels, a block of channels, and a pair of rows of points, of which the first changes
// slowest from step to step.
struct Step {
  int64_t panel;
  int64_t panels;  // 1 or 2
  int64_t channel_block;
  int rows;              // which pair, of RowOf
  int64_t channels;  // of this block
  int64_t point_stride;  // of the transformed filter, in floats
  int64_t panel_stride;
};

// What a product task has in hand.
struct ProductTask {
  const WinogradPlan& plan;
  const WinogradConv& conv;
  const PanelMatrix& filter;
  const BlockLayout& layout;
  const float* image;  // transformed
  TileRange pairs;  // of panels
  float* taps;
  float* filters[2];  // of even and of odd steps
  float* products;

  int64_t row_pairs() const { return (plan.tile + 2) / 2; }
  int64_t steps() const { return pairs.size() * layout.channel_blocks * row_pairs(); }
  Step StepOf(int64_t index) const {
    Step step;
    step.panel = (pairs.begin + index / (layout.channel_blocks * row_pairs())) * kPairPanels;
    step.panels = std::min(kPairPanels, filter.panels() - step.panel);
    step.channel_block = index / row_pairs() % layout.channel_blocks;
    step.rows = static_cast<int>(index % row_pairs());
    step.channels =
        std::min(layout.block_channels, layout.channels - step.channel_block * layout.block_channels);
    step.point_stride = (step.channels + 1) * kPanelColumns;
    step.panel_stride = 2 * (plan.tile + 2) * step.point_stride;
    return step;
  }
};

// Vectors [begin, end) of the block's channels in one panel.
template <int kTile, int kPair>
void FilterRows(const float* taps, int64_t tap_stride, int64_t begin, int64_t end, float* out, int64_t out_stride) {
  for (int64_t i = begin * kTileLanes; i < end * kTileLanes; i += kTileLanes) {
    TransformFilter<kTile, kPair>(taps + i, tap_stride, out + i, out_stride);
  }
}

using FilterFunction = void (*)(const float*, int64_t, int64_t, int64_t, float*, int64_t);

template <int kTile>
FilterFunction FindFilterRows(int pair) {
  if constexpr (kTile == 4) {
    if (pair == 2) return &FilterRows<4, 2>;
  }
  return pair == 0 ? &FilterRows<kTile, 0> : &FilterRows<kTile, 1>;
}

// Transforms the filter for one step, some at a time: its stores miss the first-level cache and need time to drain,
// which they have while the products of the step before run in between.
template <int kTile>
class FilterStep {
 public:
  FilterStep(const ProductTask& task, int64_t index) : task_(task), step_(task.StepOf(index)) {
    out_ = task.filters[index % 2];
    vectors_ = step_.channels * kPanelVectors;
    const int64_t c0 = step_.channel_block * task.layout.block_channels;
    if (!task.plan.dequantizes) {
      taps_ = static_cast<const float*>(task.filter.data) + (step_.panel * task.filter.k + c0) * kPanelColumns;
      tap_stride_ = task.layout.channels * kPanelColumns;
      taps_panel_stride_ = task.filter.k * kPanelColumns;
      return;
    }
    taps_ = task.taps;
    tap_stride_ = step_.channels * kPanelColumns;
    taps_panel_stride_ = 9 * tap_stride_;
    if (step_.rows != 0) return;  // they are there
    for (int64_t p = 0; p < step_.panels; ++p) {
      for (int64_t tap = 0; tap < 9; ++tap) {
        const int64_t k = tap * task.layout.channels + c0;
        task.filter.dequantize(task.filter, step_.panel + p, k, k + step_.channels,
                               task.taps + p * taps_panel_stride_ + tap * tap_stride_);
      }
    }
  }

  // Goes on until part / parts of the work is done.
  void Advance(int64_t part, int64_t parts) {
    const int64_t end = step_.panels * vectors_ * part / parts;
    while (done_ < end) {
      const int64_t panel = done_ / vectors_;
      const int64_t from = done_ - panel * vectors_;
      const int64_t to = std::min(vectors_, from + end - done_);
      FindFilterRows<kTile>(step_.rows)(
          taps_ + panel * taps_panel_stride_, tap_stride_, from, to, out_ + panel * step_.panel_stride,
          step_.point_stride);
      done_ += to - from;
    }
  }

 private:
  const ProductTask& task_;
  const Step step_;
  const float* taps_ = nullptr;
  int64_t tap_stride_ = 0;
  int64_t taps_panel_stride_ = 0;
  float* out_ = nullptr;
  int64_t vectors_ = 0;  // of a panel
  int64_t done_ = 0;
};

// The taps of the block of channels that comes after a step's. Each tile of the steps before it fetches some lines, so
// that weights from memory arrive in the time of all of them.
class TapsAhead {
 public:
  TapsAhead(const ProductTask& task, int64_t index) {
    const int64_t next = (index / task.row_pairs() + 1) * task.row_pairs();
    if (task.plan.dequantizes || next >= task.steps()) return;
    const Step step = task.StepOf(next);
    const int64_t tiles = task.row_pairs() * 2 * (task.plan.tile + 2) * task.layout.strips;
    runs_ = 9 * step.panels;
    tiles_ = std::max<int64_t>(tiles / runs_, 1);
    lines_ = step.channels / tiles_;
    taps_ = static_cast<const float*>(task.filter.data) +
            (step.panel * task.filter.k + step.channel_block * task.layout.block_channels) * kPanelColumns;
    tap_stride_ = task.layout.channels * kPanelColumns;
    panel_stride_ = task.filter.k * kPanelColumns;
  }

  // For tile `index` of all of these steps.
  void Find(int64_t index, TileStore* store) const {
    const int64_t run = index / tiles_;
    const bool any = run < runs_;
    const float* const first = any ? taps_ + run / 9 * panel_stride_ + run % 9 * tap_stride_ +
                                         index % tiles_ * lines_ * kPanelColumns
                                   : nullptr;
    store->ahead[0] = first;
    store->ahead[1] = any ? first + lines_ / 2 * kPanelColumns : nullptr;
    store->ahead_step = any ? (kPanelColumns + tiles_ - 1) / tiles_ : 0;
  }

 private:
  int64_t runs_ = 0;   // of lines: 9 taps of each panel
  int64_t tiles_ = 1;  // that share a run
  int64_t lines_ = 0;  // for each of them
  const float* taps_ = nullptr;
  int64_t tap_stride_ = 0;
  int64_t panel_stride_ = 0;
};

// All products of a step; `next` is transformed meanwhile, unless null.
template <int kTile>
void StepProducts(const ProductTask& task, int64_t index, FilterStep<kTile>* next) {
  const BlockLayout& layout = task.layout;
  const Step step = task.StepOf(index);
  const float* const filter = task.filters[index % 2];
  TileStore store;
  store.start_stride = kPairColumns;
  constexpr int n = Winograd<kTile>::kPoints;
  const TapsAhead ahead(task, index);
  for (int i = 0; i < 2 * n; ++i) {
    const int point = RowOf<kTile>(step.rows, i / n) * n + i % n;
    const int64_t offset = layout.Offset(step.channel_block, point);
    for (int64_t strip = 0; strip < layout.strips; ++strip) {
      const int rows = static_cast<int>(layout.Strip(strip).size());
      const float* a = task.image + strip * layout.StripFloats() + offset;
      float* sums = task.products + (strip * n * n + point) * layout.strip_rows * kPairColumns;
      const int width = std::min(TilePanels(rows), static_cast<int>(step.panels));
      const TileFunction tile = FindTile(rows, width);
      ahead.Find((int64_t{step.rows} * 2 * n + i) * layout.strips + strip, &store);
      for (int64_t p = 0; p < step.panels; p += width) {
        float* c = sums + p * kPanelColumns;
        store.start = step.channel_block == 0 ? nullptr : c;
        tile(a, kTileStride, filter + p * step.panel_stride + i * step.point_stride, step.panel_stride, step.channels, c,
             kPairColumns, store);
      }
      if (next != nullptr) next->Advance(i * layout.strips + strip + 1, 2 * n * layout.strips);
    }
  }
}

template <int kTile>
void RunProducts(const ProductTask& task, const Epilogue& epilogue, float* out) {
  FilterStep<kTile>(task, 0).Advance(1, 1);
  const int64_t steps = task.steps();
  for (int64_t index = 0; index < steps; ++index) {
    if (index + 1 < steps) {
      FilterStep<kTile> next(task, index + 1);
      StepProducts<kTile>(task, index, &next);
    } else {
      StepProducts<kTile>(task, index, nullptr);
    }
    const Step step = task.StepOf(index);
    if (step.rows == task.row_pairs() - 1 && step.channel_block == task.layout.channel_blocks - 1) {
      StoreOutputs<kTile>({task.plan, task.conv, task.layout, step.panel, kPairColumns, task.products}, epilogue, out);
    }
  }
}

void WinogradTask(const WinogradPlan& plan, const WinogradConv& conv, const PanelMatrix& filter,
                  const Epilogue& epilogue, float* out, int64_t task, float* image, float* scratch,
                  int64_t* in_scratch) {
  const int64_t block = task / plan.column_parts;
  const int64_t part = task % plan.column_parts;
  const BlockLayout layout(plan, conv, block);
  if (*in_scratch != block) (plan.tile == 2 ? &TransformBlock<2> : &TransformBlock<4>)(plan, conv, layout, image);
  *in_scratch = block;
  if constexpr (kHasRegisters) {
    if (plan.in_registers) {
      RegisterProducts(plan, conv, layout, filter, epilogue, out, part, image, scratch);
      return;
    }
  }
  const TaskScratch parts(plan);
  const int64_t pairs = (filter.panels() + kPairPanels - 1) / kPairPanels;
  float* const filters = scratch + parts.taps;
  const ProductTask product = {plan,
                               conv,
                               filter,
                               layout,
                               image,
                               EvenPart(pairs, part, plan.column_parts),
                               scratch,
                               {filters, filters + parts.filter},
                               filters + 2 * parts.filter};
  if (product.pairs.size() > 0) (plan.tile == 2 ? &RunProducts<2> : &RunProducts<4>)(product, epilogue, out);
}

int64_t ImageFloats(const WinogradPlan& plan, const WinogradConv& conv) {
  const BlockLayout largest(plan, conv, WinogradBlocks(plan, conv) - 1);
  return largest.strips * largest.StripFloats();
}

int64_t TaskFloats(const WinogradPlan& plan) {
  return plan.in_registers ? RegisterScratch(plan).floats() : TaskScratch(plan).floats();
}

WinogradTarget Target() { return {kTileLanes, kTileRows, kTileStride, kHasRegisters ? kRegisterTiles : 0}; }

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

WinogradTarget FindWinogradTarget(Isa isa) { return WHERRY_SELECT(isa, Target)(); }

size_t WinogradScratch(const WinogradPlan& plan, const WinogradConv& conv) {
  return sizeof(float) * static_cast<size_t>(WHERRY_SELECT(plan.isa, ImageFloats)(plan, conv) +
                                             WHERRY_SELECT(plan.isa, TaskFloats)(plan));
}

int64_t WinogradTasks(const WinogradPlan& plan, const WinogradConv& conv) {
  return WinogradBlocks(plan, conv) * plan.column_parts;
}

void RunWinogradTask(const WinogradPlan& plan, const WinogradConv& conv, const PanelMatrix& filter,
                     const Epilogue& epilogue, float* out, int64_t task, std::byte* scratch, int64_t* in_scratch) {
  float* const image = reinterpret_cast<float*>(scratch);
  WHERRY_SELECT(plan.isa, WinogradTask)(plan, conv, filter, epilogue, out, task, image,
                                        image + WHERRY_SELECT(plan.isa, ImageFloats)(plan, conv), in_scratch);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
