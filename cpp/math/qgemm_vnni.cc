// Products of 8-bit codes with VPDPBUSD: four multiply-adds for each 32-bit lane in one instruction.
#include "math/qgemm_multiply.h"

#if defined(WHERRY_ISA_AVX512VNNI) || defined(WHERRY_ISA_AVXVNNI)
#include <immintrin.h>

#include <cstring>

#include "hwy/base.h"

namespace wherry::math {
namespace {

inline int32_t LoadQuad(const uint8_t* at) {
  int32_t quad;
  std::memcpy(&quad, at, sizeof(quad));
  return quad;
}

using Tile = void (*)(const CodeBlock&, const uint8_t*, const int8_t*, int32_t*, int64_t);

// Cuts the rows of a block into tiles of about the same size, and has each choose its functions: choose(rows, take), where
// take(width, tile) runs `tile` on `width` panels at a time as often as there are so many left.
template <typename Choose>
void ForEachTile(const CodeBlock& block, int64_t most_rows, const Choose& choose) {
  const int64_t stride = block.panels * 16;
  const int64_t tiles = (block.rows + most_rows - 1) / most_rows;
  int64_t begin = 0;
  for (int64_t t = 1; t <= tiles; ++t) {
    const int64_t end = t == tiles ? block.rows : block.rows * t / tiles;
    const uint8_t* const a = block.a + begin * block.a_stride;
    int32_t* const sums = block.sums + begin * stride;
    int64_t panel = 0;
    choose(end - begin, [&](int64_t width, Tile tile) {
      for (; panel + width <= block.panels; panel += width) {
        tile(block, a, block.b + panel * block.panel_stride, sums + panel * 16, stride);
      }
    });
    begin = end;
  }
}

}  // namespace

#if defined(WHERRY_ISA_AVX512VNNI)
#define WHERRY_VNNI __attribute__((target("avx512f,avx512vl,avx512bw,avx512vnni")))
namespace {

// Every loop over an array of vectors is unrolled by name: gcc 12 does so by itself too late to take the array apart, and stores
// each sum whenever it changes.
//
// 32 registers: kRows x kPanels sums, kPanels of B, one of A. The rows are addressed from four pointers, so that their
// addresses need no arithmetic of their own.
template <int kRows, int kPanels>
WHERRY_VNNI void Tile512(const CodeBlock& block, const uint8_t* a, const int8_t* b, int32_t* sums, int64_t stride) {
  __m512i sum[kRows][kPanels];
  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_setzero_si512();
  }
  const int64_t s = block.a_stride;
  const uint8_t* const a0 = a;
  const uint8_t* const a4 = a + 4 * s;
  const uint8_t* const a8 = a + 8 * s;
  const uint8_t* const a12 = a + 12 * s;
  const int64_t s3 = 3 * s;
  for (int64_t g = 0; g < block.groups; ++g) {
    __m512i column[kPanels];
    HWY_UNROLL(16)
    for (int p = 0; p < kPanels; ++p) column[p] = _mm512_loadu_si512(b + p * block.panel_stride + g * kQuadBytes);
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      const uint8_t* const base = (r < 4 ? a0 : r < 8 ? a4 : r < 12 ? a8 : a12) + g * kQuad;
      const int64_t offset = r % 4 == 0 ? 0 : r % 4 == 1 ? s : r % 4 == 2 ? 2 * s : s3;
      const __m512i row = _mm512_set1_epi32(LoadQuad(base + offset));
      HWY_UNROLL(16)
      for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], row, column[p]);
    }
  }
  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int p = 0; p < kPanels; ++p) _mm512_storeu_si512(sums + r * stride + p * 16, sum[r][p]);
  }
}

constexpr int kTileRows512 = 14;
constexpr Tile kOnePanel512[] = {&Tile512<1, 1>,  &Tile512<2, 1>,  &Tile512<3, 1>,  &Tile512<4, 1>,  &Tile512<5, 1>,
                                 &Tile512<6, 1>,  &Tile512<7, 1>,  &Tile512<8, 1>,  &Tile512<9, 1>,  &Tile512<10, 1>,
                                 &Tile512<11, 1>, &Tile512<12, 1>, &Tile512<13, 1>, &Tile512<14, 1>};
constexpr Tile kTwoPanels512[] = {&Tile512<1, 2>,  &Tile512<2, 2>,  &Tile512<3, 2>,  &Tile512<4, 2>,  &Tile512<5, 2>,
                                  &Tile512<6, 2>,  &Tile512<7, 2>,  &Tile512<8, 2>,  &Tile512<9, 2>,  &Tile512<10, 2>,
                                  &Tile512<11, 2>, &Tile512<12, 2>, &Tile512<13, 2>, &Tile512<14, 2>};
constexpr Tile kFourPanels512[] = {&Tile512<1, 4>, &Tile512<2, 4>, &Tile512<3, 4>, &Tile512<4, 4>};

}  // namespace

void MultiplyCodesAvx512Vnni(const CodeBlock& block) {
  if (block.rows == 1 && block.panels == 4) {  // of an LSTM, as often as it has units
    Tile512<1, 4>(block, block.a, block.b, block.sums, 4 * kCodeColumns);
    return;
  }
  ForEachTile(block, kTileRows512, [](int64_t rows, const auto& take) {
    if (rows <= kCodeFewRows) take(4, kFourPanels512[rows - 1]);
    take(2, kTwoPanels512[rows - 1]);
    take(1, kOnePanel512[rows - 1]);
  });
}
#endif  // WHERRY_ISA_AVX512VNNI

#if defined(WHERRY_ISA_AVXVNNI)
#define WHERRY_AVXVNNI __attribute__((target("avx2,avxvnni")))
namespace {

// 16 registers: kRows x kPanels x 2 sums, two of B, one of A.
template <int kRows, int kPanels>
WHERRY_AVXVNNI void Tile256(const CodeBlock& block, const uint8_t* a, const int8_t* b, int32_t* sums, int64_t stride) {
  constexpr int kVectors = 2 * kPanels;
  __m256i sum[kRows][kVectors];
  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm256_setzero_si256();
  }
  for (int64_t g = 0; g < block.groups; ++g) {
    __m256i row[kRows];
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) row[r] = _mm256_set1_epi32(LoadQuad(a + r * block.a_stride + g * kQuad));
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) {
      const int8_t* const at = b + v / 2 * block.panel_stride + g * kQuadBytes + v % 2 * 32;
      const __m256i column = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
      HWY_UNROLL(16)
      for (int r = 0; r < kRows; ++r) sum[r][v] = _mm256_dpbusd_avx_epi32(sum[r][v], row[r], column);
    }
  }
  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + r * stride + v * 8), sum[r][v]);
    }
  }
}

constexpr int kTileRows256 = 6;
constexpr Tile kOnePanel256[] = {&Tile256<1, 1>, &Tile256<2, 1>, &Tile256<3, 1>,
                                 &Tile256<4, 1>, &Tile256<5, 1>, &Tile256<6, 1>};

}  // namespace

void MultiplyCodesAvxVnni(const CodeBlock& block) {
  ForEachTile(block, kTileRows256, [](int64_t rows, const auto& take) {
    if (rows == 1) take(4, &Tile256<1, 4>);
    if (rows <= 2) take(2, rows == 1 ? &Tile256<1, 2> : &Tile256<2, 2>);
    take(1, kOnePanel256[rows - 1]);
  });
}
#endif  // WHERRY_ISA_AVXVNNI

}  // namespace wherry::math
#endif
