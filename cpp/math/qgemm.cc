// Blocking of products of codes. Sums are whole and fit int32, so a block takes all of k at once: rows of A, a quarter of
// the second-level cache, stay while the panels of B pass. What becomes of the sums is in qgemm_store.cc.
#include "math/qgemm.h"

#include <algorithm>
#include <cstring>

#include "math/qgemm_store.h"

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
  RunTask(plan, a, b, epilogue.bias, task, scratch,
          [&](auto... block) { StoreValues({block...}, a, b, epilogue, c, ldc, plan.isa); });
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
  RunTask(plan, a, b, result.bias, task, scratch, [&](auto... block) { StoreCodes({block...}, a, b, result, plan.isa); });
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
