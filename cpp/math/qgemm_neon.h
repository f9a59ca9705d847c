// What products of 8-bit codes share on ARM: rows of A are packed as a tile wants them, the part of B that a chunk of k
// needs stays in the first-level cache while tiles of rows pass, and sums are finished in one way.
#ifndef WHERRY_MATH_QGEMM_NEON_H_
#define WHERRY_MATH_QGEMM_NEON_H_

#if defined(__ARM_NEON)
#include <arm_neon.h>

#include <cstdint>

#include "hwy/base.h"  // HWY_UNROLL
#include "math/qgemm_multiply.h"

namespace wherry::math {

inline constexpr int64_t kCodeStep = 16;  // k that a tile takes of each row at a time
inline constexpr int64_t kCodeStepBytes = kCodeStep / kQuad * kQuadBytes;  // of a panel
inline constexpr int kCodeTileRows = 6;

// Where a tile's sums go. Signed products take A's codes as a - 128, so 128 times each column's sum must be added again.
struct CodeTileSums {
  int32_t* sums;     // [rows][stride]
  int64_t stride;
  bool adds;         // to what is there
  bool measures;     // the last row of A is ones, and is not a row of the product: it yields `columns`
  int32_t* columns;  // 128 * sum of each column's codes in this chunk; zeros for products of unsigned codes
};

// One panel's product. a: [steps], each as `pack` of CodeTiles writes it. b: [steps][4][16][4].
using CodeTile = void (*)(const uint8_t* a, const int8_t* b, int64_t steps, const CodeTileSums& out);

struct CodeTiles {
  CodeTile of_rows[kCodeTileRows];  // of 1, 2, ... most_rows
  int most_rows;
  // Each group of four codes of a row is written `copies` times: [steps][rows][16] for 1, [steps][4][rows][4][4] for 4.
  int copies;
  bool is_signed;
};

void MultiplyByTiles(const CodeBlock& block, const CodeTiles& tiles);

// Stores the sums of kVectors * 4 columns from `column` on.
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void FinishTile(int32x4_t (&sum)[kRows][kVectors], const CodeTileSums& out, int column) {
  HWY_UNROLL(16)
  for (int v = 0; v < kVectors; ++v) {
    int32_t* const columns = out.columns + column + 4 * v;
    if (out.measures) vst1q_s32(columns, vshlq_n_s32(sum[kRows - 1][v], 7));
    const int32x4_t shift = vld1q_s32(columns);
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      if (r < kRows - 1 || !out.measures) {
        int32_t* const at = out.sums + r * out.stride + column + 4 * v;
        const int32x4_t value = vaddq_s32(sum[r][v], shift);
        vst1q_s32(at, out.adds ? vaddq_s32(value, vld1q_s32(at)) : value);
      }
    }
  }
}

}  // namespace wherry::math

#endif  // __ARM_NEON
#endif  // WHERRY_MATH_QGEMM_NEON_H_
