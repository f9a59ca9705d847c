// The inner loop of products on AVX-512: a tile of rows by one to four (with few rows eight) panels of 16 columns, four k
// at a time. B is loaded a vector at a time, A as broadcasts, straight from a matrix whose rows lie any stride apart.
//
// Its instructions are statements of volatile assembly: of intrinsics gcc 12 makes an address for each row and each of the
// four k, keeps those on the stack, and copies sums between registers, which costs a sixth. Here three rows share a
// register, as an address may add one or two strides to it.
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

template <int kRows, int kPanels>
class Avx512Tile {
 public:
  // sums += A x B over `depth` of k. Two runs of lines from ahead[0] and ahead[1] on, which go on by ahead_step floats every
  // second k, are fetched into the second-level cache.
  static HWY_INLINE void Run(const float* a, int64_t a_stride, const float* b, int64_t panel_stride, int64_t depth,
                             __m512 (&sums)[kRows][kPanels], const float* const* ahead, int64_t ahead_step) {
    asm volatile("" ::: "memory");  // what was stored to A and B is there
    Avx512Tile tile;
    tile.row_bytes_ = static_cast<ptrdiff_t>(a_stride * kFloat);
    tile.panel_bytes_ = static_cast<ptrdiff_t>(panel_stride * kFloat);
    for (int i = 0; i < kRowBases; ++i) tile.rows_[i] = Opaque(i == 0 ? a : tile.rows_[i - 1] + 3 * a_stride);
    for (int i = 0; i < kPanelBases; ++i) tile.panels_[i] = Opaque(i == 0 ? b : tile.panels_[i - 1] + 3 * panel_stride);
    const float* ahead0 = ahead[0];
    const float* ahead1 = ahead[1];
    for (int64_t k = depth / 4; k > 0; --k) {
      if constexpr (kRows >= 4) {
        __builtin_prefetch(ahead0, 0, 2);
        __builtin_prefetch(ahead1, 0, 2);
      }
      tile.template Step<0>(sums);
      tile.template Step<1>(sums);
      if constexpr (kRows >= 4) {
        __builtin_prefetch(ahead0 + ahead_step, 0, 2);
        __builtin_prefetch(ahead1 + ahead_step, 0, 2);
      }
      tile.template Step<2>(sums);
      tile.template Step<3>(sums);
      ahead0 += 2 * ahead_step;
      ahead1 += 2 * ahead_step;
      tile.Advance(4);
    }
    for (int64_t k = depth % 4; k > 0; --k) {
      tile.template Step<0>(sums);
      tile.Advance(1);
    }
  }

 private:
  static constexpr int kFloat = static_cast<int>(sizeof(float));
  static constexpr int kRowBases = (kRows + 2) / 3;
  static constexpr int kPanelBases = (kPanels + 2) / 3;

  // Keeps the compiler from computing all bases at once, in vectors.
  static HWY_INLINE const float* Opaque(const float* base) {
    asm("" : "+r"(base));
    return base;
  }

  HWY_INLINE void Advance(int64_t k) {
    for (int i = 0; i < kRowBases; ++i) rows_[i] += k;
    for (int i = 0; i < kPanelBases; ++i) panels_[i] += k * 16;
  }

#if HWY_COMPILER_GCC_ACTUAL
  // What lies kStrides strides and kBytes behind a base.
  template <int kStrides, int kBytes>
  static HWY_INLINE __m512 Load(const float* base, ptrdiff_t stride) {
    __m512 to;
    if constexpr (kStrides == 0) {
      asm volatile("vmovups %c2(%1), %0" : "=v"(to) : "r"(base), "i"(kBytes));
    } else {
      asm volatile("vmovups %c3(%1,%2,%c4), %0" : "=v"(to) : "r"(base), "r"(stride), "i"(kBytes), "i"(kStrides));
    }
    return to;
  }

  template <int kStrides, int kBytes>
  static HWY_INLINE __m512 Broadcast(const float* base, ptrdiff_t stride) {
    __m512 to;
    if constexpr (kStrides == 0) {
      asm volatile("vbroadcastss %c2(%1), %0" : "=v"(to) : "r"(base), "i"(kBytes));
    } else {
      asm volatile("vbroadcastss %c3(%1,%2,%c4), %0" : "=v"(to) : "r"(base), "r"(stride), "i"(kBytes), "i"(kStrides));
    }
    return to;
  }

  static HWY_INLINE void MultiplyAdd(__m512 row, __m512 column, __m512& sum) {
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(row), "v"(column));
  }
#else  // clang checks such assembly against the instruction sets of the whole file
  template <int kStrides, int kBytes>
  static HWY_INLINE const float* At(const float* base, ptrdiff_t stride) {
    return reinterpret_cast<const float*>(reinterpret_cast<const char*>(base) + kStrides * stride + kBytes);
  }

  template <int kStrides, int kBytes>
  static HWY_INLINE __m512 Load(const float* base, ptrdiff_t stride) {
    return _mm512_loadu_ps(At<kStrides, kBytes>(base, stride));
  }

  template <int kStrides, int kBytes>
  static HWY_INLINE __m512 Broadcast(const float* base, ptrdiff_t stride) {
    return _mm512_set1_ps(*At<kStrides, kBytes>(base, stride));
  }

  static HWY_INLINE void MultiplyAdd(__m512 row, __m512 column, __m512& sum) {
    sum = _mm512_fmadd_ps(row, column, sum);
  }
#endif

  // Row r is r % 3 strides behind base r / 3; so are panels.
  template <int kStep, int kRow>
  HWY_INLINE void Row(const __m512 (&columns)[kPanels], __m512 (&sums)[kPanels]) const {
    const __m512 row = Broadcast<kRow % 3, kStep * kFloat>(rows_[kRow / 3], row_bytes_);
    HWY_UNROLL(8)
    for (int v = 0; v < kPanels; ++v) MultiplyAdd(row, columns[v], sums[v]);
  }

  template <int kStep, int... kRow, int... kPanel>
  HWY_INLINE void Step(__m512 (&sums)[kRows][kPanels], std::integer_sequence<int, kRow...>,
                       std::integer_sequence<int, kPanel...>) const {
    const __m512 columns[kPanels] = {Load<kPanel % 3, kStep * 16 * kFloat>(panels_[kPanel / 3], panel_bytes_)...};
    (Row<kStep, kRow>(columns, sums[kRow]), ...);
  }

  template <int kStep>
  HWY_INLINE void Step(__m512 (&sums)[kRows][kPanels]) const {
    Step<kStep>(sums, std::make_integer_sequence<int, kRows>(), std::make_integer_sequence<int, kPanels>());
  }

  const float* rows_[kRowBases];
  const float* panels_[kPanelBases];
  ptrdiff_t row_bytes_;
  ptrdiff_t panel_bytes_;
};

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // AVX-512

#endif  // per-target include guard
