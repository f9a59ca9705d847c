// Blocking of products of codes. Sums are whole and fit int32, so a block takes all of k at once: rows of A, a quarter of
// the second-level cache, stay while the panels of B pass.
#include "math/qgemm.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/qgemm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using StoreTag = hn::CappedTag<float, 16>;
using StoreSums = hn::Rebind<int32_t, StoreTag>;
inline constexpr int64_t kStoreLanes = static_cast<int64_t>(hn::MaxLanes(StoreTag()));

// Lanes past `count` are 0 and are not stored.
HWY_INLINE hn::Vec<StoreTag> LoadSome(const float* from, int64_t count) {
  const StoreTag d;
  return count >= kStoreLanes ? hn::LoadU(d, from) : hn::LoadN(d, from, static_cast<size_t>(count));
}

// One vector of columns of a block, all rows.
template <bool kAdds>
HWY_INLINE void StoreColumns(const SumBlock& block, const CodeRows& a, const QuadMatrix& b, const Epilogue& epilogue,
                             const float* added, float low, float high, int64_t j, float* c, int64_t ldc) {
  const StoreTag d;
  const StoreSums d32;
  const int64_t column = block.column + j;
  const int64_t count = block.columns - j;
  const auto scale_b = hn::LoadU(d, b.scale + column);
  const auto sum_b = hn::ConvertTo(d32, hn::LoadU(d, b.sums + column));
  const auto bias = epilogue.bias != nullptr ? LoadSome(epilogue.bias + column, count) : hn::Zero(d);
  const auto lowest = hn::Set(d, low);
  const auto highest = hn::Set(d, high);
  const CodeScale* last = nullptr;
  auto scale = hn::Zero(d);
  auto shift = hn::Zero(d32);
  for (int64_t r = 0; r < block.rows; ++r) {
    const int64_t row = block.row + r;
    const CodeScale* const read = a.scales + (a.rows_per_scale == 1 ? row : row / a.rows_per_scale);
    if (read != last) {
      last = read;
      scale = hn::Mul(hn::Set(d, read->scale), scale_b);
      shift = hn::Mul(hn::Set(d32, read->zero), sum_b);
    }
    const auto sum = hn::Sub(hn::Load(d32, block.sums + r * block.stride + j), shift);
    auto value = hn::Add(hn::Mul(hn::ConvertTo(d, sum), scale), bias);
    if constexpr (kAdds) value = hn::Add(value, LoadSome(added + row * ldc + column, count));
    value = hn::Min(highest, hn::Max(lowest, value));  // NaN passes, as in math/tile-inl.h
    float* const to = c + row * ldc + column;
    if (count >= kStoreLanes) {
      hn::StoreU(value, d, to);
    } else {
      hn::StoreN(value, d, to, static_cast<size_t>(count));
    }
  }
}

void StoreBlock(const SumBlock& block, const CodeRows& a, const QuadMatrix& b, const Epilogue& epilogue, float* c,
                int64_t ldc, Isa isa) {
  const float* const added = epilogue.accumulate ? c : epilogue.residual;
  const bool relu = epilogue.activation == Activation::kRelu || epilogue.activation == Activation::kRelu6;
  const float low = relu ? 0.0F : -std::numeric_limits<float>::infinity();
  const float high = epilogue.activation == Activation::kRelu6 ? 6.0F : std::numeric_limits<float>::infinity();
  for (int64_t j = 0; j < block.columns; j += kStoreLanes) {
    if (added != nullptr) {
      StoreColumns<true>(block, a, b, epilogue, added, low, high, j, c, ldc);
    } else {
      StoreColumns<false>(block, a, b, epilogue, added, low, high, j, c, ldc);
    }
  }
  if (epilogue.activation > Activation::kRelu6) {
    for (int64_t r = block.row; r < block.row + block.rows; ++r) {
      Activate(epilogue.activation, epilogue.alpha, c + r * ldc + block.column, block.columns, isa);
    }
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {
namespace {

constexpr int64_t kBlockBytes = 192 << 10;  // of A's rows that a task holds
// Below this many multiply-adds, waking another thread costs more than it saves.
constexpr double kSerialWork = 1e6;
// Above this many for each thread, there are more tasks than threads: whoever is done first takes the next one.
constexpr double kFineWork = 16e6;
constexpr int64_t kTasksPerThread = 4;

// Relative time of the slowest task. Units: cycles, roughly, of a CPU that multiplies 128 codes in one.
double Cost(const CodeGemmPlan& plan, int64_t row_parts, int64_t column_parts) {
  const int64_t tiles = (plan.m + 15) / 16;
  const int64_t panels = (plan.n + kPanelColumns - 1) / kPanelColumns;
  const double rows = static_cast<double>(std::min(plan.m, (tiles + row_parts - 1) / row_parts * 16));
  const double columns = static_cast<double>((panels + column_parts - 1) / column_parts * kPanelColumns);
  const double depth = static_cast<double>(plan.groups * kQuad);
  return (rows * columns + 4.0 * columns + (plan.copies ? 4.0 : 1.0) * rows) * depth / 128 + rows * columns / 4;
}

int64_t Begin(int64_t count, int64_t unit, int64_t index, int64_t parts) {
  const int64_t units = (count + unit - 1) / unit;
  return std::min(count, units * index / parts * unit);
}

}  // namespace

CodeGemmPlan PlanCodeGemm(int64_t m, int64_t k, int64_t n, bool made, Isa isa, int threads) {
  CodeGemmPlan plan;
  plan.m = m;
  plan.groups = (k + kQuad - 1) / kQuad;
  plan.n = n;
  plan.copies = made;
  plan.isa = isa;
  if (m <= 0 || n <= 0) return plan;
  plan.row_parts = plan.column_parts = 1;
  const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  if (threads > 1 && work >= kSerialWork) {
    const int64_t tasks = threads * (work >= kFineWork * threads ? kTasksPerThread : 1);
    double best = Cost(plan, 1, 1);
    for (int64_t row_parts = 1; row_parts <= tasks; ++row_parts) {
      const double cost = Cost(plan, row_parts, tasks / row_parts);
      if (cost < best) {
        best = cost;
        plan.row_parts = row_parts;
        plan.column_parts = tasks / row_parts;
      }
    }
  }
  const int64_t row_bytes = CodeRowBytes(k);
  plan.block_rows = std::max<int64_t>(kCodeBlockRows, kBlockBytes / std::max<int64_t>(row_bytes, 1) / 16 * 16);
  const int64_t part_rows = (m + 15) / 16 * 16;
  plan.block_rows = std::min(plan.block_rows, part_rows);
  if (made) plan.scratch_bytes = static_cast<size_t>(plan.block_rows * row_bytes);
  return plan;
}

void RunCodeGemmTask(const CodeGemmPlan& plan, const CodeRows& a, const QuadMatrix& b, const Epilogue& epilogue, float* c,
                     int64_t ldc, int64_t task, std::byte* scratch) {
  alignas(64) int32_t sums[kCodeBlockRows * kCodeBlockPanels * kPanelColumns];
  static_assert(kCodeFewRows * kCodeFewRowsPanels <= kCodeBlockRows * kCodeBlockPanels);
  const CodeMultiplier multiplier = CodeMultiplierFor(plan.isa);
  const auto store = WHERRY_SELECT(plan.isa, StoreBlock);
  const int64_t row_part = task / plan.column_parts;
  const int64_t column_part = task % plan.column_parts;
  const int64_t row_end = Begin(plan.m, 16, row_part + 1, plan.row_parts);
  const int64_t panel_end = Begin(b.panels(), 1, column_part + 1, plan.column_parts);
  const int64_t row_bytes = CodeRowBytes(plan.groups * kQuad);
  if (multiplier.begin != nullptr) multiplier.begin();
  for (int64_t row = Begin(plan.m, 16, row_part, plan.row_parts); row < row_end; row += plan.block_rows) {
    const int64_t held = std::min(plan.block_rows, row_end - row);
    CodeBlock block;
    block.a_stride = plan.copies ? row_bytes : a.stride;
    const uint8_t* rows = a.codes + row * a.stride;
    if (plan.copies) {
      uint8_t* const made = reinterpret_cast<uint8_t*>(scratch);
      a.copy(a.source, row, held, made, row_bytes);
      rows = made;
    }
    block.panel_stride = b.groups() * kQuadBytes;
    block.groups = plan.groups;
    block.sums = sums;
    const int64_t most_panels = held <= kCodeFewRows ? kCodeFewRowsPanels : kCodeBlockPanels;
    for (int64_t panel = Begin(b.panels(), 1, column_part, plan.column_parts); panel < panel_end;
         panel += block.panels) {
      block.panels = std::min(most_panels, panel_end - panel);
      block.b = b.codes + panel * block.panel_stride + b.first_group * kQuadBytes;
      const int64_t column = panel * kPanelColumns;
      const int64_t columns = std::min(b.n - column, block.panels * kPanelColumns);
      for (int64_t r = 0; r < held; r += kCodeBlockRows) {
        block.rows = std::min(kCodeBlockRows, held - r);
        block.a = rows + r * block.a_stride;
        multiplier.multiply(block);
        store({sums, block.panels * kPanelColumns, row + r, block.rows, column, columns}, a, b, epilogue, c, ldc, plan.isa);
      }
    }
  }
  if (multiplier.end != nullptr) multiplier.end();
}

}  // namespace wherry::math
#endif  // HWY_ONCE
