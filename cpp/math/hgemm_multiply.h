// The innermost part of products of halves: sums of half-precision multiply-adds, carried to float32 after every kHalfFold
// of them.
//
// B lies in panels [k][16] of IEEE halves as packs store them. A lane of a sum is a chain of fused multiply-adds over
// rising k that starts from 0 in each fold, every one of them rounded to a half (halves to even, with subnormals); then the
// chain is added to a float32. So the error does not grow with the depth, and every instruction set gives the same bits.
#ifndef WHERRY_MATH_HGEMM_MULTIPLY_H_
#define WHERRY_MATH_HGEMM_MULTIPLY_H_

#include <cstdint>

#include "math/isa.h"

namespace wherry::math {

inline constexpr int64_t kHalfFold = 64;    // k in a chain
inline constexpr int64_t kHalfBlockK = 256;  // k that are packed together: whole folds
inline constexpr int64_t kHalfMostRows = 14;
inline constexpr int64_t kHalfMostPanels = 4;

// One call multiplies a tile of rows by one or more panels, over one block of k.
struct HalfTile {
  const uint16_t* a = nullptr;  // what `pack` wrote
  const uint16_t* b = nullptr;  // the block's first k of the first panel
  int64_t panel_stride = 0;     // halves from one panel to the next
  int64_t k = 0;                // 1 .. kHalfBlockK
  float* sums = nullptr;        // [rows][stride]
  int64_t stride = 0;           // a multiple of 16
  bool adds = false;            // to what `sums` holds, else to 0
};

struct HalfMultiplier {
  int64_t rows = 0;         // the most of a tile
  int64_t panels = 0;       // the most at once; all powers of two below it serve too
  int64_t block_halves = 0;  // a packed block's memory, a multiple of 32
  // Rows of float32, clamped to [-limit, limit] (NaN passes) and rounded to halves, as the tiles for so many rows read
  // them. stride: floats. k: 1 .. kHalfBlockK.
  void (*pack)(const float* a, int64_t stride, int64_t rows, int64_t k, float limit, uint16_t* out) = nullptr;
  void (*multiply)(const HalfTile& tile, int64_t rows, int64_t panels) = nullptr;
};

// Null where the instruction set multiplies no halves.
const HalfMultiplier* HalfMultiplierFor(Isa isa);

// What the files for single instruction sets define.
const HalfMultiplier& HalfMultiplierAvx512();
const HalfMultiplier& HalfMultiplierNeon();

}  // namespace wherry::math

#endif  // WHERRY_MATH_HGEMM_MULTIPLY_H_
