// Products of 8-bit codes on 64-bit ARM: SDOT, which takes four multiply-adds for each 32-bit lane, and with the
// extension I8MM USMMLA, which multiplies two rows by two columns over eight k.
#include "math/qgemm_neon.h"

#if defined(WHERRY_ISA_DOTPROD) || defined(WHERRY_ISA_I8MM)
#include <algorithm>

#include "math/tile_neon.h"

namespace wherry::math {
namespace {

constexpr int kPanelVectors = 4;

// SDOT takes signed codes on both sides.
struct SignedLanes {
  using Vector = int32x4_t;
  template <int kLane>
  [[gnu::always_inline]] static void MultiplyAdd(Vector& sum, Vector b, Vector a) {
    asm volatile("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(sum) : "w"(b), "w"(a), "i"(kLane));
  }
};

// SUDOT, a part of I8MM, takes A's unsigned and B's signed.
struct MixedLanes {
  using Vector = int32x4_t;
  template <int kLane>
  [[gnu::always_inline]] static void MultiplyAdd(Vector& sum, Vector b, Vector a) {
    asm volatile("sudot %0.4s, %1.16b, %2.4b[%3]" : "+w"(sum) : "w"(b), "w"(a), "i"(kLane));
  }
};

template <typename Lanes, int kRows>
[[gnu::always_inline]] inline void DotTile(const uint8_t* a, const int8_t* b, int64_t steps, const CodeTileSums& out) {
  int32x4_t sum[kRows][kPanelVectors];
  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int v = 0; v < kPanelVectors; ++v) sum[r][v] = vdupq_n_s32(0);
  }
  NeonTile<Lanes, kRows, kCodeStep, kRows * kCodeStep>::Run(a, b, steps, sum);
  FinishTile(sum, out, 0);
}

}  // namespace

#if defined(WHERRY_ISA_DOTPROD)
#define WHERRY_DOTPROD WHERRY_ARM_EXTENSION("dotprod")
namespace {

template <int kRows>
WHERRY_DOTPROD void SignedTile(const uint8_t* a, const int8_t* b, int64_t steps, const CodeTileSums& out) {
  DotTile<SignedLanes, kRows>(a, b, steps, out);
}

constexpr CodeTiles kSignedTiles = {
    {&SignedTile<1>, &SignedTile<2>, &SignedTile<3>, &SignedTile<4>, &SignedTile<5>, &SignedTile<6>},
    kCodeTileRows, 1, true};

}  // namespace

void MultiplyCodesDot(const CodeBlock& block) { MultiplyByTiles(block, kSignedTiles); }
#endif  // WHERRY_ISA_DOTPROD

#if defined(WHERRY_ISA_I8MM)
#define WHERRY_I8MM WHERRY_ARM_EXTENSION("i8mm")
namespace {

template <int kRows>
WHERRY_I8MM void MixedTile(const uint8_t* a, const int8_t* b, int64_t steps, const CodeTileSums& out) {
  DotTile<MixedLanes, kRows>(a, b, steps, out);
}

constexpr CodeTiles kMixedTiles = {
    {&MixedTile<1>, &MixedTile<2>, &MixedTile<3>, &MixedTile<4>}, kCodeFewRows, 1, false};

constexpr int64_t kPairStep = 8;         // k that USMMLA takes
constexpr int64_t kPairSteps = 32;       // in a chunk: 4 KiB of a panel
constexpr int kPairVectors = 8;          // of a panel's step: two columns each

// Groups of a panel in pairs: [steps][8][2 columns][8 k].
void ZipPanel(const int8_t* codes, int64_t groups, int8_t* out) {
  for (int64_t g = 0; g < groups; g += 2, codes += 2 * kQuadBytes) {
    for (int v = 0; v < kPanelVectors; ++v, out += 32) {
      const int32x4_t first = vreinterpretq_s32_s8(vld1q_s8(codes + 16 * v));
      const int32x4_t second =
          g + 1 < groups ? vreinterpretq_s32_s8(vld1q_s8(codes + kQuadBytes + 16 * v)) : vdupq_n_s32(0);
      vst1q_s8(out, vreinterpretq_s8_s32(vzip1q_s32(first, second)));
      vst1q_s8(out + 16, vreinterpretq_s8_s32(vzip2q_s32(first, second)));
    }
  }
}

// Rows of A in pairs: [steps][pairs][2 rows][8 k]. The partner of an odd last row is a row of zeros.
void ZipRows(const uint8_t* a, int64_t a_stride, int64_t rows, int64_t steps, uint8_t* out) {
  for (int64_t s = 0; s < steps; ++s) {
    for (int64_t r = 0; r < rows; r += 2, out += 16) {
      const uint8_t* const at = a + r * a_stride + s * kPairStep;
      vst1q_u8(out, vcombine_u8(vld1_u8(at), r + 1 < rows ? vld1_u8(at + a_stride) : vdup_n_u8(0)));
    }
  }
}

// 2 * kPairs rows, the last of which may not exist, by one panel.
template <int kPairs>
WHERRY_I8MM void PairTile(const uint8_t* a, const int8_t* b, int64_t steps, int64_t rows, int32_t* sums, int64_t stride,
                          bool adds) {
  int32x4_t sum[kPairs][kPairVectors];
  HWY_UNROLL(16)
  for (int p = 0; p < kPairs; ++p) {
    HWY_UNROLL(16)
    for (int v = 0; v < kPairVectors; ++v) sum[p][v] = vdupq_n_s32(0);
  }
  for (int64_t s = 0; s < steps; ++s, a += 16 * kPairs, b += 16 * kPairVectors) {
    uint8x16_t row[kPairs];
    HWY_UNROLL(16)
    for (int p = 0; p < kPairs; ++p) row[p] = vld1q_u8(a + 16 * p);
    HWY_UNROLL(16)
    for (int v = 0; v < kPairVectors; ++v) {
      const int8x16_t column = vld1q_s8(b + 16 * v);
      HWY_UNROLL(16)
      for (int p = 0; p < kPairs; ++p) {
        // gcc inlines its intrinsic into functions for all of ARMv8.2 only.
        asm("usmmla %0.4s, %1.16b, %2.16b" : "+w"(sum[p][v]) : "w"(row[p]), "w"(column));
      }
    }
  }
  HWY_UNROLL(16)
  for (int r = 0; r < rows; ++r) {
    HWY_UNROLL(16)
    for (int v = 0; v < kPanelVectors; ++v) {
      // A vector of sums holds two columns of the even row, then of the odd one.
      const int64x2_t left = vreinterpretq_s64_s32(sum[r / 2][2 * v]);
      const int64x2_t right = vreinterpretq_s64_s32(sum[r / 2][2 * v + 1]);
      int32x4_t value = vreinterpretq_s32_s64(r % 2 == 0 ? vzip1q_s64(left, right) : vzip2q_s64(left, right));
      int32_t* const at = sums + r * stride + 4 * v;
      if (adds) value = vaddq_s32(value, vld1q_s32(at));
      vst1q_s32(at, value);
    }
  }
}

constexpr void (*kPairTiles[kCodeTileRows / 2])(const uint8_t*, const int8_t*, int64_t, int64_t, int32_t*, int64_t,
                                            bool) = {&PairTile<1>, &PairTile<2>, &PairTile<3>};

}  // namespace

void MultiplyCodesI8mm(const CodeBlock& block) {
  if (block.rows <= kCodeFewRows) {  // columns would be put in pairs for too few rows
    MultiplyByTiles(block, kMixedTiles);
    return;
  }
  alignas(16) uint8_t rows[kPairSteps * kCodeTileRows * kPairStep];
  alignas(16) int8_t columns[kCodeBlockPanels][kPairSteps * kPairVectors * 16];
  const int64_t stride = block.panels * kCodeColumns;
  for (int64_t g0 = 0; g0 < block.groups; g0 += kPairSteps * 2) {
    const int64_t groups = std::min(kPairSteps * 2, block.groups - g0);
    const int64_t steps = (groups + 1) / 2;
    for (int64_t p = 0; p < block.panels; ++p) {
      ZipPanel(block.b + p * block.panel_stride + g0 * kQuadBytes, groups, columns[p]);
    }
    for (int64_t row = 0; row < block.rows; row += kCodeTileRows) {
      const int64_t count = std::min<int64_t>(kCodeTileRows, block.rows - row);
      ZipRows(block.a + row * block.a_stride + g0 * kQuad, block.a_stride, count, steps, rows);
      for (int64_t p = 0; p < block.panels; ++p) {
        kPairTiles[(count - 1) / 2](rows, columns[p], steps, count,
                                    block.sums + row * stride + p * kCodeColumns, stride, g0 != 0);
      }
    }
  }
}
#endif  // WHERRY_ISA_I8MM

}  // namespace wherry::math
#endif
