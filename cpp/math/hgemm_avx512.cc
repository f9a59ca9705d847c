// Products of halves with AVX512-FP16: 32 multiply-adds in one instruction. A vector holds one k of two panels.
#include "math/hgemm_multiply.h"

#if defined(WHERRY_ISA_AVX512FP16)
#include <immintrin.h>

#include <algorithm>

#include "hwy/base.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC's own headers leave "undefined" vectors uninitialized and then warn of it (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace wherry::math {
namespace {

#define WHERRY_AVX512FP16 __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx512fp16")))

// Halves from one row of A to the next: a constant, so that one register addresses all rows.
constexpr int64_t kStride = kHalfBlockK + 32;

WHERRY_AVX512FP16 void Pack(const float* a, int64_t stride, int64_t rows, int64_t k, float limit, uint16_t* out) {
  const __m512 high = _mm512_set1_ps(limit);
  const __m512 low = _mm512_set1_ps(-limit);
  for (int64_t r = 0; r < rows; ++r, a += stride, out += kStride) {
    for (int64_t i = 0; i < k; i += 16) {
      const auto lanes = static_cast<__mmask16>((uint32_t{1} << std::min<int64_t>(16, k - i)) - 1);
      const __m512 value = _mm512_maskz_loadu_ps(lanes, a + i);
      // The second operand is the one that is returned for NaN.
      const __m512 inside = _mm512_min_ps(high, _mm512_max_ps(low, value));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i),
                          _mm512_cvtps_ph(inside, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
  }
}

template <int kRows, int kPanels>
WHERRY_AVX512FP16 void Tile(const HalfTile& tile) {
  constexpr int kVectors = (kPanels + 1) / 2;
  const uint16_t* a = tile.a;
  const uint16_t* b = tile.b;
  for (int64_t begin = 0; begin < tile.k; begin += kHalfFold) {
    __m512h sum[kRows][kVectors];
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(2)
      for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm512_setzero_ph();
    }
    const int64_t end = std::min(tile.k, begin + kHalfFold);
    for (int64_t k = begin; k < end; ++k, ++a, b += 16) {
      __m512h column[kVectors];
      HWY_UNROLL(2)
      for (int v = 0; v < kVectors; ++v) {
        const uint16_t* const left = b + 2 * v * tile.panel_stride;
        __m512i both = _mm512_zextsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(left)));
        if constexpr (kPanels > 1) {
          both = _mm512_inserti64x4(
              both, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(left + tile.panel_stride)), 1);
        }
        column[v] = _mm512_castsi512_ph(both);
      }
      HWY_UNROLL(16)
      for (int r = 0; r < kRows; ++r) {
        const __m512h row = _mm512_castsi512_ph(_mm512_set1_epi16(static_cast<int16_t>(a[r * kStride])));
        HWY_UNROLL(2)
        for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm512_fmadd_ph(row, column[v], sum[r][v]);
      }
    }
    const bool adds = tile.adds || begin != 0;
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(4)
      for (int p = 0; p < kPanels; ++p) {
        const __m512i chain = _mm512_castph_si512(sum[r][p / 2]);
        const __m512 value =
            _mm512_cvtph_ps(p % 2 == 0 ? _mm512_castsi512_si256(chain) : _mm512_extracti64x4_epi64(chain, 1));
        float* const at = tile.sums + r * tile.stride + p * 16;
        _mm512_storeu_ps(at, _mm512_add_ps(adds ? _mm512_loadu_ps(at) : _mm512_setzero_ps(), value));
      }
    }
  }
}

template <int kRows = 1>
void Multiply(const HalfTile& tile, int64_t rows, int64_t panels) {
  if constexpr (kRows <= kHalfMostRows) {
    if (rows != kRows) return Multiply<kRows + 1>(tile, rows, panels);
    if (panels == 4) return Tile<kRows, 4>(tile);
    if (panels == 2) return Tile<kRows, 2>(tile);
    Tile<kRows, 1>(tile);
  }
}

constexpr HalfMultiplier kMultiplier = {kHalfMostRows, kHalfMostPanels, kHalfMostRows * kStride, &Pack, &Multiply<>};

}  // namespace

const HalfMultiplier& HalfMultiplierAvx512() { return kMultiplier; }

}  // namespace wherry::math
#endif  // WHERRY_ISA_AVX512FP16
