// What all products with AMX need: the shapes of their tiles, and what compilers do not know of the intrinsics.
#ifndef WHERRY_MATH_AMX_H_
#define WHERRY_MATH_AMX_H_

#if defined(WHERRY_ISA_AMX)
#include <immintrin.h>

#include <cstdint>

namespace wherry::math {

inline constexpr int64_t kAmxLine = 64;  // bytes of a row of a tile
inline constexpr int64_t kAmxRows = 16;

// Some compilers' tile intrinsics do not say which memory they read and write (GCC 12: only the address).
inline void MemoryBarrier() { asm volatile("" : : : "memory"); }

// Lines of 64 bytes in all tiles: `rows` of them in those of sums and of A, 0 to 5, and 16 in those of B, 6 and 7.
__attribute__((target("amx-tile"))) inline void LoadTileShapes(int64_t rows) {
  struct {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  } shapes;
  for (int tile = 0; tile < 8; ++tile) {
    shapes.row_bytes[tile] = kAmxLine;
    shapes.rows[tile] = static_cast<uint8_t>(tile < 6 ? rows : kAmxRows);
  }
  asm volatile("" : : "r"(&shapes) : "memory");
  _tile_loadconfig(&shapes);
}

}  // namespace wherry::math
#endif  // WHERRY_ISA_AMX

#endif  // WHERRY_MATH_AMX_H_
