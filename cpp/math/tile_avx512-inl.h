// The inner loop of products on AVX-512: a tile of rows by one to four (with few rows eight) panels of 16 columns, four k
// at a time. B is loaded a vector at a time, A as broadcasts, straight from a matrix whose rows lie any stride apart.
//
// Its instructions are statements of volatile assembly: of intrinsics gcc 12 makes an address for each row and each of the
// four k, keeps those on the stack, and copies sums between registers, which costs a sixth. Here an address is a base and an
// odd number of strides, once, twice, four or eight times, so few registers serve all rows. What is loaded has registers of
// its own: gcc otherwise still moves some sums about in the loop, 5 % of 6 x 4 where the moves fall unluckily.
#if defined(WHERRY_MATH_TILE_AVX512_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WHERRY_MATH_TILE_AVX512_INL_H_
#undef WHERRY_MATH_TILE_AVX512_INL_H_
#else
#define WHERRY_MATH_TILE_AVX512_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <utility>

#include "hwy/highway.h"

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

// kHalf: of the last panel only the first 8 columns are computed, which takes half as long where 512 bits are two passes.
template <int kRows, int kPanels, bool kHalf>
class Avx512Tile {
 public:
  // sums += A x B over `depth` of k. Two runs of lines from ahead[0] and ahead[1] on, which go on by ahead_step floats every
  // second k, are fetched into the second-level cache; none if it is 0.
  static HWY_INLINE void Run(const float* a, int64_t a_stride, const float* b, int64_t panel_stride, int64_t depth,
                             __m512 (&sums)[kRows][kPanels], const float* const* ahead, int64_t ahead_step) {
    asm volatile("" ::: "memory");  // what was stored to A and B is there
    Avx512Tile tile;
    tile.panels_ = b;
    for (int i = 0; i < kRowBases; ++i) tile.rows_[i] = Opaque(a + i * kBaseRows * a_stride);
    for (int i = 0; i < kRowSteps; ++i) tile.row_steps_[i] = Opaque((2 * i + 1) * a_stride * kFloat);
    for (int i = 0; i < kPanelSteps; ++i) tile.panel_steps_[i] = Opaque((2 * i + 1) * panel_stride * kFloat);
    const float* ahead0 = ahead[0];
    const float* ahead1 = ahead[1];
    for (int64_t k = depth / 4; k > 0; --k) {
      if constexpr (kRows >= 4) {
        asm("" : "+r"(ahead_step));  // not a constant, of which the compiler would make a second loop
        if (ahead_step != 0) {
          __builtin_prefetch(ahead0, 0, 2);
          __builtin_prefetch(ahead1, 0, 2);
          if (ahead_step > 8) {  // half a line is there already
            __builtin_prefetch(ahead0 + ahead_step, 0, 2);
            __builtin_prefetch(ahead1 + ahead_step, 0, 2);
          }
          ahead0 += 2 * ahead_step;
          ahead1 += 2 * ahead_step;
        }
      }
      tile.template Step<0>(sums);
      tile.template Step<1>(sums);
      tile.template Step<2>(sums);
      tile.template Step<3>(sums);
      tile.Advance(4);
    }
    for (int64_t k = depth % 4; k > 0; --k) {
      tile.template Step<0>(sums);
      tile.Advance(1);
    }
  }

 private:
  static constexpr int kFloat = static_cast<int>(sizeof(float));
  static constexpr int kBaseRows = 8;  // row r is r % 8 strides behind base r / 8
  static constexpr int kRowBases = (kRows + kBaseRows - 1) / kBaseRows;
  static constexpr int kRowSteps = (kRows < kBaseRows ? kRows : kBaseRows) / 2;
  static constexpr int kPanelSteps = kPanels / 2;

  // Keeps the compiler from computing all of a kind at once, in vectors.
  template <class T>
  static HWY_INLINE T Opaque(T value) {
    asm("" : "+r"(value));
    return value;
  }

  HWY_INLINE void Advance(int64_t k) {
    for (int i = 0; i < kRowBases; ++i) rows_[i] += k;
    panels_ += k * 16;
  }

#if HWY_COMPILER_GCC_ACTUAL
  // INSTRUCTION loads to `to` what lies kBytes and kIndex strides behind a base. steps: 1, 3, 5, and 7 strides in bytes.
#define WHERRY_LOAD(INSTRUCTION, to)                                               \
  if constexpr (kIndex == 0) {                                                     \
    asm volatile(INSTRUCTION " %c2(%1), %0" : "=v"(to) : "r"(base), "i"(kBytes));  \
  } else {                                                                         \
    constexpr int kTimes = kIndex & -kIndex;                                       \
    const ptrdiff_t step = steps[kIndex / kTimes / 2];                             \
    asm volatile(INSTRUCTION " %c3(%1,%2,%c4), %0"                                 \
                 : "=v"(to)                                                        \
                 : "r"(base), "r"(step), "i"(kBytes), "i"(kTimes));                \
  }                                                                                \
  return to

  template <int kIndex, int kBytes>
  static HWY_INLINE __m512 Load(const float* base, const ptrdiff_t* steps) {
    if constexpr (kPanels > 4) {
      __m512 to;
      WHERRY_LOAD("vmovups", to);
    } else if constexpr (kIndex == 0) {
      register __m512 to asm("zmm31");
      WHERRY_LOAD("vmovups", to);
    } else if constexpr (kIndex == 1) {
      register __m512 to asm("zmm30");
      WHERRY_LOAD("vmovups", to);
    } else if constexpr (kIndex == 2) {
      register __m512 to asm("zmm29");
      WHERRY_LOAD("vmovups", to);
    } else {
      register __m512 to asm("zmm28");
      WHERRY_LOAD("vmovups", to);
    }
  }

  template <int kIndex, int kBytes>
  static HWY_INLINE __m512 Broadcast(const float* base, const ptrdiff_t* steps) {
    register __m512 to asm("zmm27");
    WHERRY_LOAD("vbroadcastss", to);
  }
#undef WHERRY_LOAD

  static HWY_INLINE void MultiplyAdd(__m512 row, __m512 column, __m512& sum) {
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(row), "v"(column));
  }

  static HWY_INLINE void MultiplyAddHalf(__m512 row, __m512 column, __m512& sum) {
    asm volatile("vfmadd231ps %t2, %t1, %t0" : "+v"(sum) : "v"(row), "v"(column));
  }
#else  // clang checks such assembly against the instruction sets of the whole file
  template <int kIndex, int kBytes>
  static HWY_INLINE const float* At(const float* base, const ptrdiff_t* steps) {
    constexpr int kTimes = kIndex == 0 ? 1 : kIndex & -kIndex;
    const ptrdiff_t far = kIndex == 0 ? 0 : steps[kIndex / kTimes / 2] * kTimes;
    return reinterpret_cast<const float*>(reinterpret_cast<const char*>(base) + far + kBytes);
  }

  template <int kIndex, int kBytes>
  static HWY_INLINE __m512 Load(const float* base, const ptrdiff_t* steps) {
    return _mm512_loadu_ps(At<kIndex, kBytes>(base, steps));
  }

  template <int kIndex, int kBytes>
  static HWY_INLINE __m512 Broadcast(const float* base, const ptrdiff_t* steps) {
    return _mm512_set1_ps(*At<kIndex, kBytes>(base, steps));
  }

  static HWY_INLINE void MultiplyAdd(__m512 row, __m512 column, __m512& sum) {
    sum = _mm512_fmadd_ps(row, column, sum);
  }

  static HWY_INLINE void MultiplyAddHalf(__m512 row, __m512 column, __m512& sum) {
    const auto half = [](__m512 v) HWY_ATTR { return _mm512_castps512_ps256(v); };
    sum = _mm512_castps256_ps512(_mm256_fmadd_ps(half(row), half(column), half(sum)));
  }
#endif

  template <int kStep, int kRow>
  HWY_INLINE void Row(const __m512 (&columns)[kPanels], __m512 (&sums)[kPanels]) const {
    const __m512 row = Broadcast<kRow % kBaseRows, kStep * kFloat>(rows_[kRow / kBaseRows], row_steps_);
    HWY_UNROLL(8)
    for (int v = 0; v < kPanels; ++v) {
      kHalf && v + 1 == kPanels ? MultiplyAddHalf(row, columns[v], sums[v]) : MultiplyAdd(row, columns[v], sums[v]);
    }
  }

  template <int kStep, int... kRow, int... kPanel>
  HWY_INLINE void Step(__m512 (&sums)[kRows][kPanels], std::integer_sequence<int, kRow...>,
                       std::integer_sequence<int, kPanel...>) const {
    const __m512 columns[kPanels] = {Load<kPanel, kStep * 16 * kFloat>(panels_, panel_steps_)...};
    (Row<kStep, kRow>(columns, sums[kRow]), ...);
  }

  template <int kStep>
  HWY_INLINE void Step(__m512 (&sums)[kRows][kPanels]) const {
    Step<kStep>(sums, std::make_integer_sequence<int, kRows>(), std::make_integer_sequence<int, kPanels>());
  }

  const float* rows_[kRowBases];
  ptrdiff_t row_steps_[kRowSteps + 1];  // there may be none
  const float* panels_;
  ptrdiff_t panel_steps_[kPanelSteps + 1];
};

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // AVX-512

#endif  // per-target include guard
