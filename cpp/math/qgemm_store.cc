// Sums of products of codes to values and to codes, a few vectors of columns at a time, all rows of a block.
#include "math/qgemm_store.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/qgemm_store.cc"
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
  int64_t left = block.rows;
  const auto value_of = [&](int v, const int32_t* row_sums, const uint8_t* row_from) HWY_ATTR {
    const int64_t at = v * kStoreLanes;
    const V sum = Joined<1, kPlain>(row_sums + at, 0, shift[v], shift[v]);
    V value = hn::Add(hn::Mul(sum, scale[v]), offset[v]);
    if constexpr (kAdds) {
      const auto codes = whole ? hn::LoadU(d8, row_from + at) : hn::LoadN(d8, row_from + at, static_cast<size_t>(count));
      value = hn::Add(value, hn::Mul(hn::ConvertTo(d, hn::PromoteTo(d32, codes)), factor));
    }
    return value;
  };
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
  if constexpr (kVectors == 2) {
    // Two rows fill a vector of bytes. Packing takes what is too large or too small to the ends of its type, block by block
    // of 16 bytes, so that the rows' words end up every fourth.
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i least = _mm512_set1_epi8(static_cast<char>(result.limits.lowest));
    const __m512i most = _mm512_set1_epi8(static_cast<char>(result.limits.highest));
    const V beyond = hn::Set(d, kBeyondCodes);
    const auto rounded = [&](int v, const int32_t* row_sums, const uint8_t* row_from) HWY_ATTR {
      return RoundInRange(hn::Min(value_of(v, row_sums, row_from), beyond)).raw;
    };
    for (; left > 1; left -= 2, sums += 2 * stride, to += 2 * ldc) {
      const uint8_t* const next = kAdds ? from + ldc : nullptr;
      const __m512i first = _mm512_packs_epi32(rounded(0, sums, from), rounded(1, sums, from));
      const __m512i second = _mm512_packs_epi32(rounded(0, sums + stride, next), rounded(1, sums + stride, next));
      __m512i codes = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(first, second));
      codes = _mm512_max_epu8(_mm512_min_epu8(codes, most), least);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(codes));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + ldc), _mm512_extracti64x4_epi64(codes, 1));
      if constexpr (kAdds) from += 2 * ldc;
    }
  }
#endif
  for (; left > 0; --left, sums += stride, to += ldc) {
    HWY_UNROLL(2)
    for (int v = 0; v < kVectors; ++v) {
      const V value = hn::Max(hn::Min(value_of(v, sums, from), highest), lowest);
      const auto codes = hn::TruncateTo(d8, hn::BitCast(du32, RoundInRange(value)));
      if (whole) {
        hn::StoreU(codes, d8, to + v * kStoreLanes);
      } else {
        hn::StoreN(codes, d8, to + v * kStoreLanes, static_cast<size_t>(count));
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

void StoreValues(const SumBlock& block, const CodeRows& a, const QuadMatrix& b, const Epilogue& epilogue, float* c,
                 int64_t ldc, Isa isa) {
  WHERRY_SELECT(isa, StoreBlock)(block, a, b, epilogue, c, ldc, isa);
}

void StoreCodes(const SumBlock& block, const CodeRows& a, const QuadMatrix& b, const CodeResult& result, Isa isa) {
  WHERRY_SELECT(isa, StoreCodeBlock)(block, a, b, result);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
