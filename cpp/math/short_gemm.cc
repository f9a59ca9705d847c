// A few rows of A become whole numbers in the first-level cache, and pass by all panels of B, which are short.
#include "math/short_gemm.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/short_gemm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/codes-inl.h"
#include "math/dispatch.h"

#ifndef WHERRY_MATH_SHORT_TILE_
#define WHERRY_MATH_SHORT_TILE_
namespace wherry::math {

// What tiles of a task have in common, and what changes from one to the next.
struct ShortTile {
  int64_t pairs;         // of k
  int64_t a_stride;      // shorts
  int64_t panel_stride;  // shorts
  int64_t ldc;
  float low;
  float high;

  const int16_t* a;
  const int16_t* b;
  const float* scale;
  const float* bias;
  const float* residual;  // null for none
  float* c;
  int64_t columns;  // of C, in these panels
};

using ShortTileFunction = void (*)(const ShortTile& tile);

inline constexpr int64_t kTasksPerThread = 4;

}  // namespace wherry::math
#endif  // WHERRY_MATH_SHORT_TILE_

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using SumTag = hn::CappedTag<int32_t, 16>;
using SumVector = hn::Vec<SumTag>;
inline constexpr int64_t kSumLanes = static_cast<int64_t>(hn::MaxLanes(SumTag()));
inline constexpr int kPanelSums = static_cast<int>(kPanelColumns / kSumLanes);  // vectors to a panel
// 32 registers for 14 x 2 sums, two of B and one of A; 16 registers for 6 x 2.
inline constexpr int kShortRows = HWY_TARGET <= HWY_AVX3 ? 14 : 6;
inline constexpr int kShortPanels = HWY_TARGET <= HWY_AVX3 ? 2 : 1;
inline constexpr int64_t kBlockRows = 4 * kShortRows;
// Columns of smaller weights than this are zeros: their codes' unit has an inverse.
inline constexpr float kLeastWeight = 1e-30F;

struct PairDot {
  static HWY_INLINE SumVector Add(SumVector sum, SumVector a, SumVector b) {
    const hn::Repartition<int16_t, SumTag> d16;
    sum = hn::Add(sum, hn::WidenMulPairwiseAdd(SumTag(), hn::BitCast(d16, a), hn::BitCast(d16, b)));
    asm volatile("" : "+x"(sum.raw));  // gcc 12 else makes all products before it adds any, and has no registers left
    return sum;
  }
};

// Assembler lines, as the target of this namespace has the registers but not the instruction.
#if HWY_TARGET == HWY_AVX3 && defined(WHERRY_ISA_AVX512VNNI)
#define WHERRY_SHORT_VNNI 1
struct VnniPairDot {
  static HWY_INLINE SumVector Add(SumVector sum, SumVector a, SumVector b) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
    return sum;
  }
};
#elif HWY_TARGET == HWY_AVX2 && defined(WHERRY_ISA_AVXVNNI)
#define WHERRY_SHORT_VNNI 1
struct VnniPairDot {
  static HWY_INLINE SumVector Add(SumVector sum, SumVector a, SumVector b) {
    asm("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum.raw) : "x"(a.raw), "x"(b.raw));
    return sum;
  }
};
#else
#define WHERRY_SHORT_VNNI 0
#endif

template <class Dot, int kRows, int kPanels>
void Tile(const ShortTile& tile) {
  constexpr int kVectors = kPanels * kPanelSums;
  const SumTag d;
  const hn::Rebind<float, SumTag> df;
  SumVector sum[kRows][kVectors];
  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
  }
  const int64_t s = tile.a_stride;
  const int16_t* const a0 = tile.a;
  const int16_t* const a4 = a0 + 4 * s;
  const int16_t* const a8 = a0 + 8 * s;
  const int16_t* const a12 = a0 + 12 * s;
  const int64_t s3 = 3 * s;
  for (int64_t pair = 0; pair < tile.pairs; ++pair) {
    SumVector column[kVectors];
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) {
      const int16_t* const at = tile.b + v / kPanelSums * tile.panel_stride + pair * 2 * kPanelColumns;
      column[v] = hn::LoadU(d, reinterpret_cast<const int32_t*>(at) + v % kPanelSums * kSumLanes);
    }
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      const int16_t* const base = (r < 4 ? a0 : r < 8 ? a4 : r < 12 ? a8 : a12) + pair * 2;
      const int64_t offset = r % 4 == 0 ? 0 : r % 4 == 1 ? s : r % 4 == 2 ? 2 * s : s3;
      const SumVector row = hn::Set(d, *reinterpret_cast<const int32_t*>(base + offset));
      HWY_UNROLL(16)
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Dot::Add(sum[r][v], row, column[v]);
    }
  }
  const auto low = hn::Set(df, tile.low);
  const auto high = hn::Set(df, tile.high);
  HWY_UNROLL(16)
  for (int v = 0; v < kVectors; ++v) {
    const int64_t left = std::max<int64_t>(0, tile.columns - v * kSumLanes);
    const auto scale = hn::LoadU(df, tile.scale + v * kSumLanes);
    const auto bias = hn::LoadU(df, tile.bias + v * kSumLanes);
    const size_t count = static_cast<size_t>(std::min(left, kSumLanes));
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      auto value = hn::MulAdd(hn::ConvertTo(df, sum[r][v]), scale, bias);
      float* const to = tile.c + r * tile.ldc + v * kSumLanes;
      if (tile.residual != nullptr) {
        value = hn::Add(value, hn::LoadN(df, tile.residual + r * tile.ldc + v * kSumLanes, count));
      }
      value = hn::Min(high, hn::Max(low, value));
      if (left >= kSumLanes) {
        hn::StoreU(value, df, to);
      } else {
        hn::StoreN(value, df, to, count);
      }
    }
  }
}

template <class Dot, int kRows = 1>
ShortTileFunction FindTile(int rows, int panels) {
  if constexpr (kRows > kShortRows) {
    return nullptr;
  } else {
    if (rows != kRows) return FindTile<Dot, kRows + 1>(rows, panels);
    return panels == 1 ? &Tile<Dot, kRows, 1> : &Tile<Dot, kRows, kShortPanels>;
  }
}

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

// One panel's pairs of k from its float32 rows [k][16]; scale gets step times what a code stands for.
void MakeWeights(const float* rows, int64_t k, float step, int16_t* out, float* scale) {
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
    const auto unit = hn::Max(hn::Div(largest, hn::Set(df, 32767.0F)), hn::Div(sum, hn::Set(df, static_cast<float>(most_sum))));
    const auto inverse = hn::Div(hn::Set(df, 1.0F), unit);
    hn::StoreU(hn::Mul(hn::Set(df, step), unit), df, scale + v);
    const auto code = [&](int64_t i) HWY_ATTR {
      return RoundInRange(hn::Mul(hn::LoadU(df, rows + i * kPanelColumns + v), inverse));
    };
    for (int64_t i = 0; i < k; i += 2) {
      const auto first = hn::And(code(i), hn::Set(d, 0xFFFF));
      const auto second = i + 1 < k ? hn::ShiftLeft<16>(code(i + 1)) : hn::Zero(d);
      hn::StoreU(hn::Or(first, second), d, reinterpret_cast<int32_t*>(out + i * kPanelColumns) + v);
    }
  }
}

// Of the rows of a block in whole numbers, and of the floats that those are made of where A is made.
size_t ShortsBytes(int64_t k) { return sizeof(int16_t) * static_cast<size_t>(kBlockRows * (k + 2 * kSumLanes)) / 64 * 64 + 64; }
size_t MadeBytes(int64_t k) { return sizeof(float) * static_cast<size_t>(kBlockRows * k) / 64 * 64 + 64; }

template <class Dot>
void RunTask(const ShortGemmPlan& plan, const RowSource& a, float step, const ShortWeights& b, const Epilogue& epilogue,
             float* c, int64_t ldc, int64_t task, std::byte* scratch) {
  constexpr int64_t kUnit = 2 * kSumLanes;
  const float inverse = 1.0F / step;
  const int most_code = LargestShort(plan.k);
  int16_t* const shorts = reinterpret_cast<int16_t*>(scratch);
  // Rows without gaps are one run.
  const bool joined = a.copy == nullptr && a.stride == plan.k && plan.k % 2 == 0;
  const int64_t row_shorts = joined ? plan.k : (plan.k + kUnit - 1) / kUnit * kUnit;
  float* const made = reinterpret_cast<float*>(scratch + ShortsBytes(plan.k));
  const bool clamps = epilogue.activation == Activation::kRelu || epilogue.activation == Activation::kRelu6;
  const Clamp clamp = ClampOf(clamps ? epilogue.activation : Activation::kNone);
  ShortTile tile;
  tile.pairs = (plan.k + 1) / 2;
  tile.a_stride = row_shorts;
  tile.panel_stride = tile.pairs * 2 * kPanelColumns;
  tile.ldc = ldc;
  tile.low = clamp.low;
  tile.high = clamp.high;
  const int64_t end = plan.m * (task + 1) / plan.parts;
  for (int64_t row = plan.m * task / plan.parts, rows = 0; row < end; row += rows) {
    rows = std::min(kBlockRows, end - row);
    if (joined) {
      MakeShorts(a.data + row * a.stride, rows * plan.k, inverse, most_code, shorts);
    } else {
      const float* from = a.data + row * a.stride;
      int64_t stride = a.stride;
      if (a.copy != nullptr) {
        a.copy(a.source, row, rows, 0, plan.k, made, plan.k);
        from = made;
        stride = plan.k;
      }
      for (int64_t r = 0; r < rows; ++r) MakeShorts(from + r * stride, plan.k, inverse, most_code, shorts + r * row_shorts);
    }
    const int64_t tiles = (rows + kShortRows - 1) / kShortRows;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t first = rows * t / tiles;
      const int count = static_cast<int>(rows * (t + 1) / tiles - first);
      const ShortTileFunction wide = FindTile<Dot>(count, kShortPanels);
      tile.a = shorts + first * row_shorts;
      float* const to = c + (row + first) * ldc;
      for (int64_t column = 0; column < plan.n; column += tile.columns) {
        tile.columns = std::min(plan.n - column, kShortPanels * kPanelColumns);
        tile.b = b.codes + column / kPanelColumns * tile.panel_stride;
        tile.scale = b.scale + column;
        tile.bias = b.bias + column;
        tile.residual = epilogue.residual == nullptr ? nullptr : epilogue.residual + (row + first) * ldc + column;
        tile.c = to + column;
        (tile.columns > kPanelColumns ? wide : FindTile<Dot>(count, 1))(tile);
      }
      if (!clamps && epilogue.activation != Activation::kNone) {
        Activate(epilogue.activation, epilogue.alpha, FloatRows{to, to, ldc, count, plan.n}, plan.isa);
      }
    }
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
  void (*make_weights)(const float* rows, int64_t k, float step, int16_t* out, float* scale);
  void (*run)(const ShortGemmPlan& plan, const RowSource& a, float step, const ShortWeights& b, const Epilogue& epilogue,
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
int64_t CodesOfPanel(int64_t k) { return (k + 1) / 2 * 2 * kPanelColumns; }

}  // namespace

bool MultipliesShorts(Isa isa, int64_t k, int64_t n) {
  return FunctionsFor(isa).run != nullptr && k >= 1 && k <= kMaxShortDepth && n <= kMaxShortWeights / k;
}

ShortGemmPlan PlanShortGemm(int64_t m, int64_t k, int64_t n, Isa isa, int threads, bool made) {
  ShortGemmPlan plan = {m, k, n, m > 0 && n > 0 ? 1 : 0, isa, 0};
  if (plan.parts > 0 && threads > 1 && PaysToSplit(m, (k + 1) / 2, n)) {
    plan.parts = std::min<int64_t>(m, int64_t{threads} * kTasksPerThread);
  }
  const ShortFunctions functions = FunctionsFor(isa);
  plan.scratch_bytes = functions.shorts_bytes(k) + (made ? functions.made_bytes(k) : 0);
  return plan;
}

size_t ShortWeightBytes(int64_t k, int64_t n) {
  return static_cast<size_t>(Panels(n)) *
         (sizeof(int16_t) * static_cast<size_t>(CodesOfPanel(k)) + 2 * sizeof(float) * kPanelColumns);
}

ShortWeights MakeShortWeights(const PanelMatrix& b, const float* bias, float step, Isa isa, std::byte* to) {
  int16_t* const codes = reinterpret_cast<int16_t*>(to);
  const int64_t padded = Panels(b.n) * kPanelColumns;
  float* const scale = reinterpret_cast<float*>(codes + Panels(b.n) * CodesOfPanel(b.k));
  float* const biases = scale + padded;
  const ShortFunctions functions = FunctionsFor(isa);
  for (int64_t panel = 0; panel < Panels(b.n); ++panel) {
    functions.make_weights(static_cast<const float*>(b.data) + panel * b.k * kPanelColumns, b.k, step,
                           codes + panel * CodesOfPanel(b.k), scale + panel * kPanelColumns);
  }
  std::fill_n(biases, padded, 0.0F);
  if (bias != nullptr) std::copy_n(bias, b.n, biases);
  return {codes, scale, biases};
}

void RunShortGemmTask(const ShortGemmPlan& plan, const RowSource& a, float step, const ShortWeights& b,
                      const Epilogue& epilogue, float* c, int64_t ldc, int64_t task, std::byte* scratch) {
  FunctionsFor(plan.isa).run(plan, a, step, b, epilogue, c, ldc, task, scratch);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
