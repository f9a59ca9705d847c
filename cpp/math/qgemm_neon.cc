// Products of 8-bit codes on ARM CPUs without dot product: SMULL and SMLAL add two products of signed codes in int16, which
// holds them as long as B's codes are above -128 (the compiler makes no other), and SADALP adds pairs of these to int32.
#include "math/qgemm_neon.h"

#if defined(__ARM_NEON)
#include <algorithm>
#include <cstring>

namespace wherry::math {
namespace {

constexpr int64_t kChunkSteps = 48;  // 12 KiB of a panel

void PackRow(const uint8_t* codes, uint8x16_t flips, int64_t rows, int copies, uint8_t* out) {
  const uint8x16_t row = veorq_u8(vld1q_u8(codes), flips);
  if (copies == 1) {
    vst1q_u8(out, row);
    return;
  }
  uint32_t groups[4];
  vst1q_u32(groups, vreinterpretq_u32_u8(row));
  for (int g = 0; g < 4; ++g) vst1q_u8(out + g * rows * kCodeStep, vreinterpretq_u8_u32(vdupq_n_u32(groups[g])));
}

// `rows` rows of A, the last of which is ones if `ones`.
void PackRows(const uint8_t* a, int64_t a_stride, int64_t rows, bool ones, int64_t steps, const CodeTiles& tiles,
              uint8_t* out) {
  alignas(16) static constexpr uint8_t kOnes[kCodeStep] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const uint8x16_t flips = vdupq_n_u8(tiles.is_signed ? 0x80 : 0);
  for (int64_t s = 0; s < steps; ++s, out += tiles.copies * rows * kCodeStep) {
    const int64_t of_a = ones ? rows - 1 : rows;
    for (int64_t r = 0; r < of_a; ++r) {
      PackRow(a + r * a_stride + s * kCodeStep, flips, rows, tiles.copies, out + r * kCodeStep);
    }
    if (ones) PackRow(kOnes, vdupq_n_u8(0), rows, tiles.copies, out + of_a * kCodeStep);
  }
}

// The part of a block's products that is [first, first + steps) of A's steps times the steps at b.
void MultiplyChunk(const CodeBlock& block, const CodeTiles& tiles, int64_t first, int64_t steps, const int8_t* b,
                   int64_t panel_stride) {
  alignas(16) uint8_t rows[kChunkSteps * 12 * kCodeStep];  // 6 rows, or 3 with 4 copies
  alignas(16) int32_t columns[kCodeFewRowsPanels][kCodeColumns] = {};
  const int64_t stride = block.panels * kCodeColumns;
  for (int64_t row = 0; row < block.rows;) {
    const bool measures = tiles.is_signed && row == 0;
    const int64_t extra = measures ? 1 : 0;
    const int64_t count = std::min<int64_t>(block.rows - row, tiles.most_rows - extra);
    PackRows(block.a + row * block.a_stride + first * kCodeStep, block.a_stride, count + extra, measures, steps, tiles,
             rows);
    for (int64_t p = 0; p < block.panels; ++p) {
      tiles.of_rows[count + extra - 1](
          rows, b + p * panel_stride, steps,
          {block.sums + row * stride + p * kCodeColumns, stride, first != 0, measures, columns[p]});
    }
    row += count;
  }
}

// Rows by 8 columns, twice. Sums of two columns lie in a vector, each in two parts.
template <int kRows>
void WideTile(const uint8_t* a, const int8_t* b, int64_t steps, const CodeTileSums& out) {
  for (int half = 0; half < 2; ++half) {
    int32x4_t part[kRows][4];
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(16)
      for (int v = 0; v < 4; ++v) part[r][v] = vdupq_n_s32(0);
    }
    const int8_t* row = reinterpret_cast<const int8_t*>(a);
    const int8_t* column = b + half * kQuadBytes / 2;
    for (int64_t pair = 0; pair < 2 * steps; ++pair, row += 2 * kRows * kCodeStep, column += 2 * kQuadBytes) {
      HWY_UNROLL(16)
      for (int v = 0; v < 2; ++v) {
        const int8x16_t b0 = vld1q_s8(column + 16 * v);
        const int8x16_t b1 = vld1q_s8(column + 16 * v + kQuadBytes);
        // Row after row in each of three stages, so that none waits for the one before it.
        int8x16_t a1[kRows];
        int16x8_t low[kRows], high[kRows];
        HWY_UNROLL(16)
        for (int r = 0; r < kRows; ++r) {
          const int8x16_t a0 = vld1q_s8(row + r * kCodeStep);
          a1[r] = vld1q_s8(row + (kRows + r) * kCodeStep);
          low[r] = vmull_s8(vget_low_s8(b0), vget_low_s8(a0));
          high[r] = vmull_s8(vget_high_s8(b0), vget_high_s8(a0));
        }
        HWY_UNROLL(16)
        for (int r = 0; r < kRows; ++r) {
          low[r] = vmlal_s8(low[r], vget_low_s8(b1), vget_low_s8(a1[r]));
          high[r] = vmlal_s8(high[r], vget_high_s8(b1), vget_high_s8(a1[r]));
        }
        HWY_UNROLL(16)
        for (int r = 0; r < kRows; ++r) {
          part[r][2 * v] = vpadalq_s16(part[r][2 * v], low[r]);
          part[r][2 * v + 1] = vpadalq_s16(part[r][2 * v + 1], high[r]);
        }
      }
    }
    int32x4_t sum[kRows][2];
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(16)
      for (int v = 0; v < 2; ++v) {
        const int32x4_t low = part[r][2 * v], high = part[r][2 * v + 1];
        sum[r][v] = vcombine_s32(vpadd_s32(vget_low_s32(low), vget_high_s32(low)),
                                 vpadd_s32(vget_low_s32(high), vget_high_s32(high)));
      }
    }
    FinishTile(sum, out, half * 8);
  }
}

// 16 registers hold what two rows need, 32 what three need.
#if defined(__aarch64__)
constexpr CodeTiles kWideTiles = {{&WideTile<1>, &WideTile<2>, &WideTile<3>}, 3, 4, true};
#else
constexpr CodeTiles kWideTiles = {{&WideTile<1>, &WideTile<2>}, 2, 4, true};
#endif

}  // namespace

void MultiplyByTiles(const CodeBlock& block, const CodeTiles& tiles) {
  const int64_t steps = block.groups * kQuad / kCodeStep;
  for (int64_t first = 0; first < steps; first += kChunkSteps) {
    MultiplyChunk(block, tiles, first, std::min(kChunkSteps, steps - first), block.b + first * kCodeStepBytes,
                  block.panel_stride);
  }
  const size_t rest = static_cast<size_t>(block.groups * kQuadBytes - steps * kCodeStepBytes);
  if (rest == 0) return;
  alignas(16) int8_t last[kCodeFewRowsPanels][kCodeStepBytes];  // filled up with zeros
  for (int64_t p = 0; p < block.panels; ++p) {
    std::memcpy(last[p], block.b + p * block.panel_stride + steps * kCodeStepBytes, rest);
    std::memset(last[p] + rest, 0, sizeof(last[p]) - rest);
  }
  MultiplyChunk(block, tiles, steps, 1, last[0], kCodeStepBytes);
}

void MultiplyCodesNeon(const CodeBlock& block) { MultiplyByTiles(block, kWideTiles); }

}  // namespace wherry::math
#endif  // __ARM_NEON
