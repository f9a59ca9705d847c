// Blocking of products of codes. Sums are whole and fit int32, so a block takes all of k at once: rows of A, a quarter of
// the second-level cache, stay while the panels of B pass.
#include "math/qgemm.h"

#include <algorithm>
#include <cstring>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/qgemm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/code_sums-inl.h"
#include "math/codes-inl.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using StoreTag = CodeSumTag;
using StoreSums = CodeSumTag32;
inline constexpr int64_t kStoreLanes = static_cast<int64_t>(hn::MaxLanes(StoreTag()));

// Vectors of columns that a row's turn takes: enough for whole cache lines, few enough for their constants to stay in
// registers.
inline constexpr int kStoreVectors = 2;

// Lanes past `count` are 0.
HWY_INLINE hn::Vec<StoreTag> LoadSome(const float* from, int64_t count) {
  const StoreTag d;
  if (count >= kStoreLanes) return hn::LoadU(d, from);
  return hn::LoadN(d, from, static_cast<size_t>(std::max<int64_t>(count, 0)));
}

// sums: of a row's bytes, or of its high bytes and, `stride` behind them, its low ones. kPlain: nothing is taken off.
template <int kPlanes, bool kPlain>
HWY_INLINE hn::Vec<StoreTag> Joined(const int32_t* sums, int64_t stride, hn::Vec<StoreSums> high_shift,
                                    hn::Vec<StoreSums> low_shift) {
  const StoreSums d32;
  const auto high = hn::Load(d32, sums);
  const auto low = kPlanes == 1 ? hn::Zero(d32) : hn::Load(d32, sums + stride);
  if constexpr (kPlain) return JoinedSums<kPlanes>(high, low);
  return JoinedSums<kPlanes>(high, high_shift, low, low_shift);
}

// How the rows of a block that follow each other are read.
class RowScales {
 public:
  RowScales(const SumBlock& block, const CodeRows& a)
      : scales_(a.scales), rows_per_scale_(a.rows_per_scale), row_(block.row) {
    if (rows_per_scale_ != 1) index_ = row_ / rows_per_scale_;
    until_ = (index_ + 1) * rows_per_scale_;
  }
  // The next row's.
  const CodeScale* Next() {
    const int64_t row = row_++;
    if (rows_per_scale_ == 1) return scales_ + row;
    if (row == until_) {
      ++index_;
      until_ += rows_per_scale_;
    }
    return scales_ + index_;
  }

 private:
  const CodeScale* scales_;
  int64_t rows_per_scale_;
  int64_t row_;
  int64_t index_ = 0;
  int64_t until_;
};

// What is added to sums and what they are cut to.
struct Finish {
  const float* added;
  float low;
  float high;
};

// Columns [j, j + kStoreVectors * kStoreLanes) of a block, all rows. kWhole: all of those columns are C's. kPlain: all rows
// have codes of 0 for 0, and there is no Finish::high.
template <bool kAdds, bool kWhole, bool kPlain, int kPlanes>
void StoreColumns(const SumBlock& block, const CodeRows& a, const QuadMatrix& b, const Epilogue& epilogue,
                  const Finish& finish, int64_t j, float* c, int64_t ldc) {
  const StoreTag d;
  const StoreSums d32;
  using V = hn::Vec<StoreTag>;
  using S = hn::Vec<StoreSums>;
  const int64_t column = block.column + j;
  V scale_b[kStoreVectors], bias[kStoreVectors], scale[kStoreVectors];
  S sum_b[kStoreVectors], high_shift[kStoreVectors], low_shift[kStoreVectors];
  int64_t count[kStoreVectors];
  for (int v = 0; v < kStoreVectors; ++v) {
    const int64_t at = column + v * kStoreLanes;
    count[v] = block.columns - j - v * kStoreLanes;
    const bool some = kWhole || count[v] > 0;  // then a whole vector of scales is there: they are padded
    scale_b[v] = some ? hn::LoadU(d, b.scale + at) : hn::Zero(d);
    sum_b[v] = some ? hn::ConvertTo(d32, hn::LoadU(d, b.sums + at)) : hn::Zero(d32);
    bias[v] = epilogue.bias != nullptr ? LoadSome(epilogue.bias + at, kWhole ? kStoreLanes : count[v]) : hn::Zero(d);
    scale[v] = hn::Zero(d);
    high_shift[v] = low_shift[v] = hn::Zero(d32);
  }
  const V lowest = hn::Set(d, finish.low);
  const V highest = hn::Set(d, finish.high);
  const CodeScale* last = nullptr;
  RowScales scales(block, a);
  // What a vector is stored to may be anything, for all that compilers know: what the loop needs of the block is read before.
  const int64_t stride = block.stride;
  const int32_t* sums = block.sums + j;
  float* to = c + block.row * ldc + column;
  // Those of the columns that come next, to be asked for: a large C is in no near cache.
  [[maybe_unused]] const int64_t next = column + kStoreVectors * kStoreLanes < b.n ? kStoreVectors * kStoreLanes : 0;
  [[maybe_unused]] const float* added = kAdds ? finish.added + (to - c) : nullptr;
  for (int64_t left = block.rows; left > 0; --left, sums += kPlanes * stride, to += ldc) {
    const CodeScale* const read = scales.Next();
    if (read != last) {
      last = read;
      HWY_UNROLL(2)
      for (int v = 0; v < kStoreVectors; ++v) {
        scale[v] = hn::Mul(hn::Set(d, read->scale), scale_b[v]);
        if constexpr (!kPlain) high_shift[v] = HighShift<kPlanes>(read->zero, sum_b[v]);
        if constexpr (!kPlain && kPlanes > 1) low_shift[v] = LowShift(read->zero, sum_b[v]);
      }
    }
    HWY_UNROLL(2)
    for (int v = 0; v < kStoreVectors; ++v) {
      if (!kWhole && count[v] <= 0) break;
      const int64_t at = v * kStoreLanes;
      const V sum = Joined<kPlanes, kPlain>(sums + at, stride, high_shift[v], low_shift[v]);
      V value = hn::Add(hn::Mul(sum, scale[v]), bias[v]);
      if constexpr (kAdds) value = hn::Add(value, kWhole ? hn::LoadU(d, added + at) : LoadSome(added + at, count[v]));
      value = hn::Max(lowest, value);  // NaN passes, as in math/tile-inl.h
      if constexpr (!kPlain) value = hn::Min(highest, value);
      if (kWhole || count[v] >= kStoreLanes) {
        if constexpr (kWhole && !kAdds) __builtin_prefetch(to + at + next, 1, 2);
        hn::StoreU(value, d, to + at);
      } else {
        hn::StoreN(value, d, to + at, static_cast<size_t>(count[v]));
      }
    }
    if constexpr (kAdds) added += ldc;
  }
}

// Columns [j, j + kStoreLanes) of a block, all rows, where B has two planes. As StoreColumns.
template <bool kAdds, bool kPlain, int kPlanes>
void StoreWideColumns(const SumBlock& block, const CodeRows& a, const QuadMatrix& b, const Epilogue& epilogue,
                      const Finish& finish, int64_t j, float* c, int64_t ldc) {
  const StoreTag d;
  const StoreSums d32;
  const int64_t column = block.column + j;
  const int64_t count = block.columns - j;
  const bool whole = count >= kStoreLanes;
  const int64_t high_panel = j / kPanelColumns * 2 * kPanelColumns + j % kPanelColumns;
  const auto scale_b = hn::LoadU(d, b.scale + column);
  const auto high_b = hn::ConvertTo(d32, hn::LoadU(d, b.sums + column));
  const auto low_b = hn::ConvertTo(d32, hn::LoadU(d, b.sums + b.padded() + column));
  const auto bias = epilogue.bias != nullptr ? LoadSome(epilogue.bias + column, count) : hn::Zero(d);
  const auto step = hn::Set(d, static_cast<float>(kHighStep));
  const auto lowest = hn::Set(d, finish.low);
  const auto highest = hn::Set(d, finish.high);
  RowScales scales(block, a);
  const int64_t stride = block.stride;
  const int32_t* sums = block.sums + high_panel;
  float* to = c + block.row * ldc + column;
  [[maybe_unused]] const float* added = kAdds ? finish.added + (to - c) : nullptr;
  for (int64_t left = block.rows; left > 0; --left, sums += kPlanes * stride, to += ldc) {
    const CodeScale read = *scales.Next();
    const auto joined = [&](const int32_t* of, auto sum_b) HWY_ATTR {
      if constexpr (kPlain) return Joined<kPlanes, true>(of, stride, sum_b, sum_b);
      return Joined<kPlanes, false>(of, stride, HighShift<kPlanes>(read.zero, sum_b), LowShift(read.zero, sum_b));
    };
    const auto sum = hn::Add(hn::Mul(joined(sums, high_b), step), joined(sums + kPanelColumns, low_b));
    auto value = hn::Add(hn::Mul(sum, hn::Mul(hn::Set(d, read.scale), scale_b)), bias);
    if constexpr (kAdds) {
      value = hn::Add(value, LoadSome(added, count));
      added += ldc;
    }
    value = hn::Max(lowest, value);
    if constexpr (!kPlain) value = hn::Min(highest, value);
    if (whole) {
      hn::StoreU(value, d, to);
    } else {
      hn::StoreN(value, d, to, static_cast<size_t>(count));
    }
  }
}

// Whether all rows have codes of 0 for 0, as behind a Relu.
bool AllZeroed(const SumBlock& block, const CodeRows& a) {
  const int64_t end = (block.row + block.rows - 1) / a.rows_per_scale + 1;
  int32_t any = 0;
  for (int64_t i = block.row / a.rows_per_scale; i < end; ++i) any |= a.scales[i].zero;
  return any == 0;
}

template <bool kAdds, bool kPlain, int kPlanes>
void StoreAll(const SumBlock& block, const CodeRows& a, const QuadMatrix& b, const Epilogue& epilogue,
              const Finish& finish, float* c, int64_t ldc) {
  constexpr int64_t kColumns = kStoreVectors * kStoreLanes;
  int64_t j = 0;
  if (b.planes > 1) {
    for (; j < block.columns; j += kStoreLanes) {
      StoreWideColumns<kAdds, kPlain, kPlanes>(block, a, b, epilogue, finish, j, c, ldc);
    }
    return;
  }
  for (; j + kColumns <= block.columns; j += kColumns) {
    StoreColumns<kAdds, true, kPlain, kPlanes>(block, a, b, epilogue, finish, j, c, ldc);
  }
  if (j < block.columns) StoreColumns<kAdds, false, false, kPlanes>(block, a, b, epilogue, finish, j, c, ldc);
}

template <int kPlanes>
void StorePlanes(const SumBlock& block, const CodeRows& a, const QuadMatrix& b, const Epilogue& epilogue, float* c,
                 int64_t ldc) {
  const bool relu = epilogue.activation == Activation::kRelu || epilogue.activation == Activation::kRelu6;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const Finish finish = {epilogue.accumulate ? c : epilogue.residual, relu ? 0.0F : -kInfinity,
                         epilogue.activation == Activation::kRelu6 ? 6.0F : kInfinity};
  const bool plain = finish.high == kInfinity && AllZeroed(block, a);
  const auto all = finish.added != nullptr ? (plain ? &StoreAll<true, true, kPlanes> : &StoreAll<true, false, kPlanes>)
                                           : (plain ? &StoreAll<false, true, kPlanes> : &StoreAll<false, false, kPlanes>);
  all(block, a, b, epilogue, finish, c, ldc);
}

void StoreBlock(const SumBlock& block, const CodeRows& a, const QuadMatrix& b, const Epilogue& epilogue, float* c,
                int64_t ldc, Isa isa) {
  (a.planes == 1 ? &StorePlanes<1> : &StorePlanes<2>)(block, a, b, epilogue, c, ldc);
  if (epilogue.activation > Activation::kRelu6) {
    float* const from = c + block.row * ldc + block.column;
    Activate(epilogue.activation, epilogue.alpha, {from, from, ldc, block.rows, block.columns}, isa);
  }
}

// kVectors vectors of columns of a block as codes, all rows. Only one may have columns that are not C's. kPlain: A's codes of 0
// stand for 0, so nothing is taken off sums.
//
// Values are cut to what codes may be before they are rounded, which comes to the same as these are whole numbers.
template <bool kAdds, bool kPlain, int kVectors>
HWY_INLINE void StoreCodeColumns(const SumBlock& block, CodeScale read, const QuadMatrix& b, const CodeResult& result,
                                 int64_t j) {
  const StoreTag d;
  const StoreSums d32;
  const hn::Rebind<uint32_t, StoreTag> du32;
  const hn::Rebind<uint8_t, StoreTag> d8;
  using V = hn::Vec<StoreTag>;
  const int64_t column = block.column + j;
  const int64_t count = kVectors > 1 ? kStoreLanes : std::min(block.columns - j, kStoreLanes);
  const bool whole = count == kStoreLanes;
  const float inverse = 1.0F / result.scale.scale;
  const float added = kAdds ? result.residual_scale.scale * inverse : 0.0F;
  const float zero = static_cast<float>(result.scale.zero);
  const float zeros = kAdds ? zero - static_cast<float>(result.residual_scale.zero) * added : zero;
  V scale[kVectors], offset[kVectors];
  hn::Vec<StoreSums> shift[kVectors];
  HWY_UNROLL(2)
  for (int v = 0; v < kVectors; ++v) {
    const int64_t at = column + v * kStoreLanes;
    const V bias = result.bias != nullptr ? LoadSome(result.bias + at, count) : hn::Zero(d);
    scale[v] = hn::Mul(hn::Set(d, read.scale * inverse), hn::LoadU(d, b.scale + at));
    offset[v] = hn::Add(hn::Mul(bias, hn::Set(d, inverse)), hn::Set(d, zeros));
    shift[v] = hn::Mul(hn::Set(d32, read.zero), hn::ConvertTo(d32, hn::LoadU(d, b.sums + at)));
  }
  const V factor = hn::Set(d, added);
  const V lowest = hn::Set(d, static_cast<float>(result.limits.lowest));
  const V highest = hn::Set(d, static_cast<float>(result.limits.highest));
  // Bytes may be anything, for all that compilers know: what the loop needs is read before.
  const int64_t stride = block.stride;
  const int64_t ldc = result.ldc;
  const int32_t* sums = block.sums + j;
  uint8_t* to = result.c + block.row * ldc + column;
  [[maybe_unused]] const uint8_t* from = kAdds ? result.residual + block.row * ldc + column : nullptr;
  for (int64_t left = block.rows; left > 0; --left, sums += stride, to += ldc) {
    HWY_UNROLL(2)
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = v * kStoreLanes;
      const V sum = Joined<1, kPlain>(sums + at, 0, shift[v], shift[v]);
      V value = hn::Add(hn::Mul(sum, scale[v]), offset[v]);
      if constexpr (kAdds) {
        const auto codes = whole ? hn::LoadU(d8, from + at) : hn::LoadN(d8, from + at, static_cast<size_t>(count));
        value = hn::Add(value, hn::Mul(hn::ConvertTo(d, hn::PromoteTo(d32, codes)), factor));
      }
      value = hn::Max(hn::Min(value, highest), lowest);
      const auto codes = hn::TruncateTo(d8, hn::BitCast(du32, RoundInRange(value)));
      if (whole) {
        hn::StoreU(codes, d8, to + at);
      } else {
        hn::StoreN(codes, d8, to + at, static_cast<size_t>(count));
      }
    }
    if constexpr (kAdds) from += ldc;
  }
}

template <bool kAdds, bool kPlain>
void StoreAllCodes(const SumBlock& block, CodeScale read, const QuadMatrix& b, const CodeResult& result) {
  int64_t j = 0;
  for (; j + kStoreVectors * kStoreLanes <= block.columns; j += kStoreVectors * kStoreLanes) {
    StoreCodeColumns<kAdds, kPlain, kStoreVectors>(block, read, b, result, j);
  }
  for (; j < block.columns; j += kStoreLanes) StoreCodeColumns<kAdds, kPlain, 1>(block, read, b, result, j);
}

void StoreCodeBlock(const SumBlock& block, const CodeRows& a, const QuadMatrix& b, const CodeResult& result) {
  const CodeScale read = *a.scales;
  const auto all = result.residual != nullptr ? (read.zero == 0 ? &StoreAllCodes<true, true> : &StoreAllCodes<true, false>)
                                              : (read.zero == 0 ? &StoreAllCodes<false, true> : &StoreAllCodes<false, false>);
  all(block, read, b, result);
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {
namespace {

constexpr int64_t kKeptBytes = 256 << 10;   // of B's panels that stay while blocks of rows pass
constexpr int64_t kBlockBytes = 192 << 10;  // of A's rows that a task holds
constexpr int64_t kThriftyRows = 16;        // that a task holds where memory is short
// Below this many multiply-adds, waking another thread costs more than it saves.
constexpr double kSerialWork = 1e6;
constexpr int64_t kTasksPerThread = 4;
// A B of more than this comes from memory, or from a cache that is hardly faster: 8 bytes a cycle, instead of 32.
constexpr double kNearBytes = 256 << 10;

// Time that the threads take, roughly in cycles of a CPU that multiplies 256 codes in one.
double Cost(const CodeGemmPlan& plan, int64_t source, int threads, int64_t row_parts, int64_t column_parts) {
  const int64_t tiles = (plan.m + 15) / 16;
  const int64_t panels = plan.panel_end;
  const double rows = static_cast<double>(std::min(plan.m, (tiles + row_parts - 1) / row_parts * 16));
  const double columns = static_cast<double>((panels + column_parts - 1) / column_parts * kPanelColumns);
  const double depth = static_cast<double>(plan.groups * kQuad);
  const double a_bytes = (plan.copies ? 24.0 : 4.0) * rows;
  const double all_columns = static_cast<double>(panels * kPanelColumns);
  const double b_bytes = (all_columns * depth > kNearBytes ? 32.0 : 8.0) * columns;
  double task = (rows * columns + a_bytes + b_bytes) * depth / 256 + rows * columns / 4 + 300;
  // Steps before and after are cut by rows, so threads that share rows here fetch half of them, and half of what they
  // make, from each other's caches.
  if (column_parts > 1 && row_parts % threads != 0) task += rows * (columns + static_cast<double>(source)) / 4;
  const int64_t tasks = row_parts * column_parts;
  const int64_t turns = (tasks + threads - 1) / threads;
  // With one turn each, the slower thread is waited for.
  return static_cast<double>(turns) * task * (turns == 1 ? 1.06 : 1.0 + 0.06 / static_cast<double>(turns));
}

int64_t Begin(int64_t count, int64_t unit, int64_t index, int64_t parts) {
  const int64_t units = (count + unit - 1) / unit;
  return std::min(count, units * index / parts * unit);
}

}  // namespace

CodeGemmPlan PlanCodeGemm(int64_t m, int64_t k, int64_t n, CodePlanes planes, bool made, Isa isa, int threads, bool thrifty,
                          int64_t source) {
  m *= planes.a;
  source = std::min(source, k);
  CodeGemmPlan plan;
  plan.m = m;
  plan.groups = (k + kQuad - 1) / kQuad;
  plan.n = n;
  plan.unit = planes.b;
  plan.panel_end = (n + kPanelColumns - 1) / kPanelColumns * plan.unit;
  plan.copies = made;
  plan.isa = isa;
  if (m <= 0 || n <= 0) return plan;
  plan.row_parts = plan.column_parts = 1;
  const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  if (threads > 1 && work >= kSerialWork) {
    double best = Cost(plan, source, 1, 1, 1);
    for (int64_t tasks = threads; tasks <= threads * kTasksPerThread; tasks *= 2) {
      for (int64_t row_parts = thrifty ? tasks : 1; row_parts <= tasks; ++row_parts) {
        const double cost = Cost(plan, source, threads, row_parts, tasks / row_parts);
        if (cost >= best) continue;
        best = cost;
        plan.row_parts = row_parts;
        plan.column_parts = tasks / row_parts;
      }
    }
  }
  const int64_t row_bytes = CodeRowBytes(k);
  plan.block_rows = std::max<int64_t>(kCodeBlockRows, kBlockBytes / std::max<int64_t>(row_bytes, 1) / 16 * 16);
  if (thrifty) plan.block_rows = kThriftyRows;
  const int64_t part_rows = ((m + 15) / 16 + plan.row_parts - 1) / plan.row_parts * 16;
  plan.block_rows = std::min(plan.block_rows, part_rows);
  if (made) plan.scratch_bytes = static_cast<size_t>(plan.block_rows * row_bytes);
  return plan;
}

namespace {

// Where each 16 of rows [row, row + rows) of an image begin.
void FindTiles(const CodeImage& image, int64_t row, int64_t rows, int64_t* tiles) {
  for (int64_t last = row + rows; row < last;) {
    const int64_t line_end = std::min(last, (row / image.rows_of_line() + 1) * image.rows_of_line());
    for (int64_t at = image.Offset(row); row < line_end; row += 16, at += 16 * image.channels) *tiles++ = at;
  }
}

// Asks for what storing columns takes, which comes from memory as the weights do, while they are multiplied.
void FetchColumns(const QuadMatrix& b, const float* bias, int64_t column, int64_t columns) {
  for (int64_t c = column; c < column + columns; c += kPanelColumns) {
    __builtin_prefetch(b.scale + c);
    for (int plane = 0; plane < b.planes; ++plane) __builtin_prefetch(b.sums + plane * b.padded() + c);
    if (bias != nullptr) __builtin_prefetch(bias + c);
  }
}

// store(sums, stride, row, rows, column, columns) takes each block of sums.
template <class Store>
void RunTask(const CodeGemmPlan& plan, const CodeRows& a, const QuadMatrix& b, const float* bias, int64_t task,
             std::byte* scratch, const Store& store) {
  alignas(64) int32_t sums[kCodeBlockRows * kCodeBlockPanels * kPanelColumns];
  static_assert(kCodeFewRows * kCodeFewRowsPanels <= kCodeBlockRows * kCodeBlockPanels);
  int64_t tiles[kCodeBlockRows / 16];
  const CodeMultiplier multiplier = CodeMultiplierFor(plan.isa, plan.m);
  const int64_t row_part = task / plan.column_parts;
  const int64_t column_part = task % plan.column_parts;
  const int64_t row_end = Begin(plan.m, 16, row_part + 1, plan.row_parts);
  const int64_t panels = plan.panel_end - plan.panel_begin;
  const int64_t panel_begin = plan.panel_begin + Begin(panels, plan.unit, column_part, plan.column_parts);
  const int64_t panel_end = plan.panel_begin + Begin(panels, plan.unit, column_part + 1, plan.column_parts);
  const int64_t row_bytes = CodeRowBytes(plan.groups * kQuad);
  if (multiplier.begin != nullptr) multiplier.begin();
  const int64_t row_begin = Begin(plan.m, 16, row_part, plan.row_parts);
  for (int64_t row = row_begin; row < row_end; row += plan.block_rows) {
    const int64_t held = std::min(plan.block_rows, row_end - row);
    CodeBlock block;
    block.a_stride = plan.copies ? row_bytes : a.stride;
    if (a.image != nullptr) {
      block.a = a.codes;
      block.a_stride = a.image->channels;
      block.tiles = tiles;
      block.steps = a.steps;
    }
    const uint8_t* rows = a.codes + row * a.stride;
    if (plan.copies) {
      uint8_t* const made = reinterpret_cast<uint8_t*>(scratch);
      a.copy(a.source, row / a.planes, held / a.planes, made, row_bytes);
      rows = made;
    }
    block.panel_stride = b.groups() * kQuadBytes;
    block.groups = plan.groups;
    block.sums = sums;
    // What is small enough for the caches comes again and again: a few panels, or all of them so that rows of C are
    // written from left to right.
    const bool keeps_b = (panel_end - panel_begin) * block.panel_stride <= kKeptBytes;
    const CodeBlockShape shape = multiplier.ShapeOf(held, plan.groups, keeps_b ? 0 : panel_end - panel_begin);
    const auto run = [&](int64_t panel, int64_t r) {
      block.panels = std::min(shape.panels, panel_end - panel);
      block.b = b.codes + panel * block.panel_stride + b.first_group * kQuadBytes;
      block.rows = std::min(shape.rows, held - r);
      if (a.image == nullptr) {
        block.a = rows + r * block.a_stride;
      } else {
        FindTiles(*a.image, row + r, block.rows, tiles);
      }
      const int64_t column = panel / plan.unit * kPanelColumns;
      const int64_t columns = std::min(b.n - column, block.panels / plan.unit * kPanelColumns);
      FetchColumns(b, bias, column, columns);
      multiplier.multiply(block);
      store(sums, block.panels * kPanelColumns, (row + r) / a.planes, block.rows / a.planes, column, columns);
    };
    const int64_t ahead = shape.panels * block.panel_stride;
    if (keeps_b) {
      block.prefetch = row == row_begin ? ahead : 0;  // they may come from memory the first time
      for (int64_t r = 0; r < held; r += shape.rows) {
        for (int64_t panel = panel_begin; panel < panel_end; panel += shape.panels) run(panel, r);
        block.prefetch = 0;
      }
    } else {
      for (int64_t panel = panel_begin; panel < panel_end; panel += shape.panels) {
        block.prefetch = ahead;
        for (int64_t r = 0; r < held; r += shape.rows) {
          run(panel, r);
          block.prefetch = 0;
        }
      }
    }
  }
  if (multiplier.end != nullptr) multiplier.end();
}

}  // namespace

void RunCodeGemmTask(const CodeGemmPlan& plan, const CodeRows& a, const QuadMatrix& b, const Epilogue& epilogue, float* c,
                     int64_t ldc, int64_t task, std::byte* scratch) {
  const auto store = WHERRY_SELECT(plan.isa, StoreBlock);
  RunTask(plan, a, b, epilogue.bias, task, scratch, [&](auto... block) { store({block...}, a, b, epilogue, c, ldc, plan.isa); });
}

CodeRowProduct::CodeRowProduct(const CodeRows& row, const QuadMatrix& b, int64_t panels, int64_t step, Isa isa)
    : multiply_(CodeMultiplierFor(isa, row.planes).multiply),
      b_(b.codes + b.first_group * kQuadBytes),
      panel_bytes_(b.groups() * kQuadBytes) {
  block_.a = row.codes;
  block_.a_stride = row.stride;
  block_.rows = row.planes;
  block_.panel_stride = step * panel_bytes_;
  block_.panels = panels;
  block_.groups = row.groups;
}

void RunCodeGemmTask(const CodeGemmPlan& plan, const CodeRows& a, const QuadMatrix& b, const CodeResult& result,
                     int64_t task, std::byte* scratch) {
  const auto store = WHERRY_SELECT(plan.isa, StoreCodeBlock);
  RunTask(plan, a, b, result.bias, task, scratch, [&](auto... block) { store({block...}, a, b, result); });
}

void CopyPlainCodes(const void* source, int64_t row, int64_t rows, uint8_t* out, int64_t stride) {
  const PlainCodes& plain = *static_cast<const PlainCodes*>(source);
  const uint8_t* from = plain.codes + row * plain.stride;
  const size_t k = static_cast<size_t>(plain.k);
  for (int64_t r = 0; r < rows; ++r, from += plain.stride, out += stride) {
    std::memcpy(out, from, k);
    std::memset(out + k, 0, static_cast<size_t>(stride) - k);
  }
}

}  // namespace wherry::math
#endif  // HWY_ONCE
