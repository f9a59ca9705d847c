// A few rows of A become whole numbers in the first-level cache, and pass by all panels of B, which are short. Of an image its
// rows become that, not its patches: a patch is a few runs of them, and tiles read these where they lie.
#include "math/short_gemm.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/short_gemm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/codes-inl.h"
#include "math/dispatch.h"
#include "math/short_tile-inl.h"

#ifndef WHERRY_MATH_SHORT_LINES_
#define WHERRY_MATH_SHORT_LINES_
namespace wherry::math {

// Patches of more image rows than kMostRuns, or of so large ones, are copied.
inline constexpr int64_t kMostLineBytes = 64 * 1024;  // of all image rows of a patch, and one of zeros
inline constexpr int64_t kLineUnit = 32;              // shorts

inline constexpr int64_t kTasksPerThread = 4;

// An image row in whole numbers, with its padding and room behind it that may be written.
inline int64_t LineShorts(const Patches& patches) {
  const WindowAxis& w = patches.window.w;
  const int64_t read = (w.out - 1) * w.stride + w.filter;
  return (std::max(w.before + w.in, read) * patches.channels + 2 * kLineUnit - 1) / kLineUnit * kLineUnit;
}

}  // namespace wherry::math
#endif  // WHERRY_MATH_SHORT_LINES_

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int64_t kBlockRows = 4 * kShortRows;
// Columns of smaller weights than this are zeros: their codes' unit has an inverse.
inline constexpr float kLeastWeight = 1e-30F;

// Of so many values of A. `out` has room up to a multiple of two vectors, which is written.
HWY_INLINE void MakeShorts(const float* in, int64_t count, float inverse, int most_code, int16_t* out) {
  const hn::Rebind<float, SumTag> df;
  const hn::Repartition<int16_t, SumTag> d16;
  const auto factor = hn::Set(df, inverse);
  const auto most = hn::Set(df, kBeyondCodes);
  const auto largest = hn::Set(d16, static_cast<int16_t>(most_code));
  const auto least = hn::Set(d16, static_cast<int16_t>(-most_code));
  const auto whole = [&](auto v) HWY_ATTR { return RoundInRange(hn::Min(hn::Mul(v, factor), most)); };
  const auto store = [&](auto first, auto second, int16_t* to) HWY_ATTR {
    const auto both = hn::OrderedDemote2To(d16, whole(first), whole(second));
    hn::StoreU(hn::Max(hn::Min(both, largest), least), d16, to);
  };
  int64_t i = 0;
  for (; i + 2 * kSumLanes <= count; i += 2 * kSumLanes) {
    store(hn::LoadU(df, in + i), hn::LoadU(df, in + i + kSumLanes), out + i);
  }
  if (i == count) return;
  const size_t left = static_cast<size_t>(count - i);
  const size_t lanes = static_cast<size_t>(kSumLanes);
  const auto first = hn::LoadN(df, in + i, std::min(left, lanes));
  store(first, left > lanes ? hn::LoadN(df, in + i + kSumLanes, left - lanes) : hn::Zero(df), out + i);
}

// One panel's pairs of k from its float32 rows [k][16], those of each run of k for themselves; scale gets step times what a
// code stands for.
void MakeWeights(const float* rows, int64_t k, int64_t run, float step, int16_t* out, float* scale) {
  const SumTag d;
  const hn::Rebind<float, SumTag> df;
  // What a column's codes may add up to, less what rounding adds.
  const int64_t most_sum = (int64_t{1} << 31) / LargestShort(k) - k / 2 - 16;
  for (int64_t v = 0; v < kPanelColumns; v += kSumLanes) {
    auto largest = hn::Set(df, kLeastWeight);
    auto sum = largest;
    for (int64_t i = 0; i < k; ++i) {
      const auto size = hn::Abs(hn::LoadU(df, rows + i * kPanelColumns + v));
      largest = hn::Max(largest, size);
      sum = hn::Add(sum, size);
    }
    const auto unit = hn::Max(hn::Div(largest, hn::Set(df, 32767.0F)),
                              hn::Div(sum, hn::Set(df, static_cast<float>(most_sum))));
    const auto inverse = hn::Div(hn::Set(df, 1.0F), unit);
    hn::StoreU(hn::Mul(hn::Set(df, step), unit), df, scale + v);
    const auto code = [&](int64_t i) HWY_ATTR {
      return RoundInRange(hn::Mul(hn::LoadU(df, rows + i * kPanelColumns + v), inverse));
    };
    int16_t* to = out;
    for (int64_t end = run; end <= k; end += run) {
      for (int64_t i = end - run; i < end; i += 2, to += 2 * kPanelColumns) {
        const auto first = hn::And(code(i), hn::Set(d, 0xFFFF));
        const auto second = i + 1 < end ? hn::ShiftLeft<16>(code(i + 1)) : hn::Zero(d);
        hn::StoreU(hn::Or(first, second), d, reinterpret_cast<int32_t*>(to) + v);
      }
    }
  }
}

// Of the rows of a block in whole numbers, and of the floats that those are made of where A is made.
size_t ShortsBytes(int64_t k) {
  return sizeof(int16_t) * static_cast<size_t>(kBlockRows * (k + 2 * kSumLanes)) / 64 * 64 + 64;
}
size_t MadeBytes(int64_t k) { return sizeof(float) * static_cast<size_t>(kBlockRows * k) / 64 * 64 + 64; }

// Rows of C from `row` on, `rows` of them: row 0 of the tiles is the first.
template <class Dot>
void MultiplyRows(const ShortGemmPlan& plan, const ShortWeights& b, const Epilogue& epilogue, float* c, int64_t row,
                  int64_t rows, ShortTile* tile) {
  const int64_t tiles = (rows + kShortRows - 1) / kShortRows;
  for (int64_t t = 0; t < tiles; ++t) {
    tile->first = rows * t / tiles;
    const int count = static_cast<int>(rows * (t + 1) / tiles - tile->first);
    const ShortTileFunction whole = FindTile<Dot>(count, kMostHalves);
    float* const to = c + (row + tile->first) * tile->ldc;
    for (int64_t column = 0; column < plan.n; column += tile->columns) {
      tile->columns = std::min(plan.n - column, kMostHalves * kHalfColumns);
      tile->b = b.codes + column / kPanelColumns * tile->panel_stride;
      tile->scale = b.scale + column;
      tile->bias = b.bias + column;
      tile->residual =
          epilogue.residual == nullptr ? nullptr : epilogue.residual + (row + tile->first) * tile->ldc + column;
      tile->c = to + column;
      const int64_t halves = (tile->columns + kHalfColumns - 1) / kHalfColumns;
      (halves == kMostHalves ? whole : FindTile<Dot>(count, halves))(*tile);
    }
    if (epilogue.activation > Activation::kRelu6) {
      Activate(epilogue.activation, epilogue.alpha, FloatRows{to, to, tile->ldc, count, plan.n}, plan.isa);
    }
  }
}

// Rows [row, end) of C, where A is a matrix, or patches that are copied.
template <class Dot>
void MultiplyBlocks(const ShortGemmPlan& plan, const ShortRows& a, float step, const ShortWeights& b,
                    const Epilogue& epilogue, float* c, int64_t row, int64_t end, std::byte* scratch, ShortTile* tile) {
  constexpr int64_t kUnit = 2 * kSumLanes;
  const float inverse = 1.0F / step;
  const int most_code = LargestShort(plan.k);
  int16_t* const shorts = reinterpret_cast<int16_t*>(scratch);
  // Rows without gaps are one run.
  const bool joined = a.patches == nullptr && a.stride == plan.k && plan.k % 2 == 0;
  float* const made = reinterpret_cast<float*>(scratch + ShortsBytes(plan.k));
  const CopyRows copy = a.patches == nullptr ? nullptr : PatchCopier(plan.isa);
  tile->a_stride = joined ? plan.k : (plan.k + kUnit - 1) / kUnit * kUnit;
  tile->run[0] = shorts;
  for (int64_t rows = 0; row < end; row += rows) {
    rows = std::min(kBlockRows, end - row);
    if (joined) {
      MakeShorts(a.data + row * a.stride, rows * plan.k, inverse, most_code, shorts);
    } else {
      const float* from = a.data + row * a.stride;
      int64_t stride = a.stride;
      if (copy != nullptr) {
        copy(a.patches, row, rows, 0, plan.k, made, plan.k);
        from = made;
        stride = plan.k;
      }
      for (int64_t r = 0; r < rows; ++r) {
        MakeShorts(from + r * stride, plan.k, inverse, most_code, shorts + r * tile->a_stride);
      }
    }
    MultiplyRows<Dot>(plan, b, epilogue, c, row, rows, tile);
  }
}

// The same where A is patches whose runs are read where they lie.
template <class Dot>
void MultiplyImage(const ShortGemmPlan& plan, const Patches& patches, float step, const ShortWeights& b,
                   const Epilogue& epilogue, float* c, int64_t row, int64_t end, std::byte* scratch, ShortTile* tile) {
  const auto& [h, w] = patches.window;
  const float inverse = 1.0F / step;
  const int most_code = LargestShort(plan.k);
  const int64_t line = LineShorts(patches);
  int16_t* const lines = reinterpret_cast<int16_t*>(scratch);  // of the rows in `held`, and one of zeros
  std::fill_n(lines, (h.filter + 1) * line, int16_t{0});
  int64_t held[kMostRuns];
  std::fill_n(held, kMostRuns, int64_t{-1});
  tile->a_stride = w.stride * patches.channels;
  ForOutputRuns(patches.window, row, end - row, [&](int64_t image, int64_t y, int64_t x, int64_t count) HWY_ATTR {
    for (int64_t i = 0; i < h.filter; ++i) {
      const int64_t from = y * h.stride - h.before + i * h.dilation;
      const bool inside = from >= 0 && from < h.in;
      const int64_t place = inside ? from / h.dilation % h.filter : h.filter;
      int16_t* const to = lines + place * line;
      if (inside && held[place] != image * h.in + from) {
        held[place] = image * h.in + from;
        MakeShorts(patches.image + held[place] * w.in * patches.channels, w.in * patches.channels, inverse, most_code,
                   to + w.before * patches.channels);
      }
      tile->run[i] = to + x * tile->a_stride;
    }
    MultiplyRows<Dot>(plan, b, epilogue, c, row, count, tile);
    row += count;
  });
}

template <class Dot>
void RunTask(const ShortGemmPlan& plan, const ShortRows& a, float step, const ShortWeights& b, const Epilogue& epilogue,
             float* c, int64_t ldc, int64_t task, std::byte* scratch) {
  const Clamp clamp = ClampOf(epilogue.activation <= Activation::kRelu6 ? epilogue.activation : Activation::kNone);
  ShortTile tile;
  tile.runs = plan.k / plan.run;
  tile.pairs = (plan.run + 1) / 2;
  tile.panel_stride = tile.runs * tile.pairs * 2 * kPanelColumns;
  tile.ldc = ldc;
  tile.low = clamp.low;
  tile.high = clamp.high;
  const int64_t row = plan.m * task / plan.parts;
  const int64_t end = plan.m * (task + 1) / plan.parts;
  if (plan.run < plan.k) {
    MultiplyImage<Dot>(plan, *a.patches, step, b, epilogue, c, row, end, scratch, &tile);
  } else {
    MultiplyBlocks<Dot>(plan, a, step, b, epilogue, c, row, end, scratch, &tile);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // AVX2 or later

#if HWY_ONCE
namespace wherry::math {
namespace {

struct ShortFunctions {
  size_t (*shorts_bytes)(int64_t k);
  size_t (*made_bytes)(int64_t k);
  void (*make_weights)(const float* rows, int64_t k, int64_t run, float step, int16_t* out, float* scale);
  void (*run)(const ShortGemmPlan& plan, const ShortRows& a, float step, const ShortWeights& b, const Epilogue& epilogue,
              float* c, int64_t ldc, int64_t task, std::byte* scratch);
};

#define WHERRY_SHORT_FUNCTIONS(target, Dot) \
  { &target::ShortsBytes, &target::MadeBytes, &target::MakeWeights, &target::RunTask<target::Dot> }

// Not of AVX-512 without VNNI, where multiplying and adding take two instructions for what two multiply-adds of floats do.
ShortFunctions FunctionsFor([[maybe_unused]] Isa isa) {
#if HWY_ARCH_X86
#if defined(WHERRY_ISA_AVX512VNNI)
  if (isa >= Isa::kAvx512Vnni) return WHERRY_SHORT_FUNCTIONS(N_AVX3, VnniPairDot);
#endif
#if defined(WHERRY_ISA_AVXVNNI)
  if (isa == Isa::kAvxVnni) return WHERRY_SHORT_FUNCTIONS(N_AVX2, VnniPairDot);
#endif
#if defined(WHERRY_ISA_AVX2)
  if (isa == Isa::kAvx2) return WHERRY_SHORT_FUNCTIONS(N_AVX2, PairDot);
#endif
#endif
  return {};
}

int64_t Panels(int64_t n) { return (n + kPanelColumns - 1) / kPanelColumns; }
int64_t CodesOfPanel(const ShortGemmPlan& plan) {
  return plan.k / plan.run * ((plan.run + 1) / 2 * 2) * kPanelColumns;
}

// Whether a patch is a few runs of whole image rows, which may lie in memory for its sake.
bool ReadsRuns(const Patches& patches) {
  const auto& [h, w] = patches.window;
  return patches.pixel == patches.channels && w.dilation == 1 && h.filter > 1 && h.filter <= kMostRuns &&
         (h.filter + 1) * LineShorts(patches) * static_cast<int64_t>(sizeof(int16_t)) <= kMostLineBytes;
}

}  // namespace

bool MultipliesShorts(Isa isa, int64_t k, int64_t n) {
  return FunctionsFor(isa).run != nullptr && k >= 1 && k <= kMaxShortDepth && n <= kMaxShortWeights / k;
}

ShortGemmPlan PlanShortGemm(int64_t m, int64_t k, int64_t n, Isa isa, int threads, const Patches* patches) {
  ShortGemmPlan plan = {m, k, k, n, m > 0 && n > 0 ? 1 : 0, isa, 0};
  if (plan.parts > 0 && threads > 1 && PaysToSplit(m, (k + 1) / 2, n)) {
    plan.parts = std::min<int64_t>(m, int64_t{threads} * kTasksPerThread);
  }
  if (patches != nullptr && ReadsRuns(*patches)) {
    const int64_t lines = patches->window.h.filter + 1;
    plan.run = patches->window.w.filter * patches->channels;
    plan.scratch_bytes = sizeof(int16_t) * static_cast<size_t>(lines * LineShorts(*patches));
    return plan;
  }
  const ShortFunctions functions = FunctionsFor(isa);
  plan.scratch_bytes = functions.shorts_bytes(k) + (patches != nullptr ? functions.made_bytes(k) : 0);
  return plan;
}

size_t ShortWeightBytes(const ShortGemmPlan& plan) {
  return static_cast<size_t>(Panels(plan.n)) *
         (sizeof(int16_t) * static_cast<size_t>(CodesOfPanel(plan)) + 2 * sizeof(float) * kPanelColumns);
}

ShortWeights MakeShortWeights(const ShortGemmPlan& plan, const PanelMatrix& b, const float* bias, float step,
                              std::byte* to) {
  int16_t* const codes = reinterpret_cast<int16_t*>(to);
  const int64_t padded = Panels(b.n) * kPanelColumns;
  float* const scale = reinterpret_cast<float*>(codes + Panels(b.n) * CodesOfPanel(plan));
  float* const biases = scale + padded;
  const ShortFunctions functions = FunctionsFor(plan.isa);
  for (int64_t panel = 0; panel < Panels(b.n); ++panel) {
    functions.make_weights(static_cast<const float*>(b.data) + panel * b.k * kPanelColumns, b.k, plan.run, step,
                           codes + panel * CodesOfPanel(plan), scale + panel * kPanelColumns);
  }
  std::fill_n(biases, padded, 0.0F);
  if (bias != nullptr) std::copy_n(bias, b.n, biases);
  return {codes, scale, biases};
}

void RunShortGemmTask(const ShortGemmPlan& plan, const ShortRows& a, float step, const ShortWeights& b,
                      const Epilogue& epilogue, float* c, int64_t ldc, int64_t task, std::byte* scratch) {
  FunctionsFor(plan.isa).run(plan, a, step, b, epilogue, c, ldc, task, scratch);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
