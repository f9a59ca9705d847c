// C [m, n] = A [m, k] x B [k, n] + bias [n] of float32, B in panels, from products of bfloat16 on AMX's tiles.
//
// A float32 is the sum of three bfloat16 with 8 bits of its significand in each: x = hi + mid + lo, where hi is x without its
// lower 16 bits, mid the same of what is left, lo the rest, all exact. Of the nine products of two numbers' parts six are
// made and added in float32: lo hi, mid hi, mid mid, hi mid, hi lo, hi hi, in this order for every 32 k (Henry, Tang and
// Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations", 2019).
//
// Error: |mid| < 2^-7 |x| and |lo| < 2^-15 |x|, so what is left out is below 2^-21 + 2^-29 of a product, and 2^-24 on average. The
// tiles add to that what adding in float32 rounds off. Tiles take subnormal parts for zero: those of numbers below 2^-110, and
// sums below 2^-126. Where a sum is not finite (infinities and NaN, in A or B, make parts that are NaN; large numbers
// overflow), its row's 16 columns are what gemm.h makes of them.
//
// An element's bits depend on its row of A and its column of B alone, not on m, its neighbours, or how the work is cut.
#ifndef WHERRY_MATH_BGEMM_H_
#define WHERRY_MATH_BGEMM_H_

#include <cstddef>
#include <cstdint>

#include "math/isa.h"
#include "math/panels.h"

namespace wherry::math {

#if defined(WHERRY_ISA_AMX)
inline constexpr bool kBfloatProducts = true;
#else
inline constexpr bool kBfloatProducts = false;  // nothing below is compiled
#endif

inline constexpr int64_t kBfloatRows = 128;       // of A, at most
inline constexpr int64_t kBfloatParts = 3;
inline constexpr int64_t kBfloatTileRows = 16;    // of A in a tile, at most
inline constexpr int64_t kBfloatTileDepth = 32;   // k in a tile
inline constexpr int64_t kBfloatTilePairs = 16;   // the same in words of two neighbours
inline constexpr int64_t kBfloatDepthTiles = 4;   // tiles of k in a block of B
inline constexpr int64_t kBfloatPanels = 2;       // panels in one
inline constexpr int64_t kBfloatPartSize = kBfloatTilePairs * 2 * kPanelColumns;  // bfloat16 of a part of a tile of B
inline constexpr int64_t kBfloatTileSize = kBfloatParts * kBfloatPartSize;
inline constexpr int64_t kBfloatBlockSize = kBfloatDepthTiles * kBfloatPanels * kBfloatTileSize;

// Whether an instruction set has them, for products with so many columns.
constexpr bool TakesBfloats(int64_t n, Isa isa) {
  return kBfloatProducts && isa == Isa::kAmx && n % (kBfloatPanels * kPanelColumns) == 0;
}

// Rows of A share tiles evenly: tiles of fewer rows take less time.
struct BfloatShape {
  int64_t m = 0;  // 1 .. kBfloatRows
  int64_t k = 0;  // of B too, from its first_row on
  int64_t n = 0;

  int64_t row_tiles() const { return (m + kBfloatTileRows - 1) / kBfloatTileRows; }
  int64_t tile_rows() const { return (m + row_tiles() - 1) / row_tiles(); }
  int64_t depth_tiles() const { return (k + kBfloatTileDepth - 1) / kBfloatTileDepth; }
  int64_t column_pairs() const { return n / (kBfloatPanels * kPanelColumns); }
  int64_t row_tile_size() const { return depth_tiles() * kBfloatParts * tile_rows() * kBfloatTileDepth; }

  // Bytes, multiples of 64, never less for larger sizes: of all rows' parts, and of what a thread needs beside them.
  size_t rows_bytes() const { return static_cast<size_t>(row_tiles() * row_tile_size()) * sizeof(uint16_t); }
  size_t task_bytes() const {
    const int64_t sums = row_tiles() * tile_rows() * kBfloatPanels * kPanelColumns;
    const int64_t tail = kBfloatTileDepth * kPanelColumns;
    return static_cast<size_t>(sums + tail) * sizeof(float) + 2 * static_cast<size_t>(kBfloatBlockSize) * sizeof(uint16_t);
  }
};

// Writes the parts of a tile's rows of A, row-major [m, k], to parts [row_tiles][depth_tiles][3][tile_rows][32], which is
// aligned to 64; rows and k that A does not have are zeros.
void SplitRowTile(const BfloatShape& shape, const float* a, int64_t tile, uint16_t* parts);

struct BfloatProduct {
  BfloatShape shape;
  const float* a = nullptr;         // [m, k]
  const uint16_t* parts = nullptr;  // of all its tiles
  PanelMatrix b;                    // float32
  const float* bias = nullptr;
  float* c = nullptr;  // [m, ldc]
  int64_t ldc = 0;
};

// The columns of pairs [begin, end) of panels. scratch: task_bytes(), aligned to 64.
void RunBfloatProduct(const BfloatProduct& product, int64_t begin, int64_t end, std::byte* scratch);

}  // namespace wherry::math

#endif  // WHERRY_MATH_BGEMM_H_
