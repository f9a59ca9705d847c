// Products of 8-bit codes with AMX: a tile of 16 rows times a tile of 16 columns over 64 k in one instruction.
// Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter on AMX: two by two tiles of sums, so that each
// tile of A and of B that is loaded is used twice.
#include "math/qgemm_multiply.h"

#if defined(WHERRY_ISA_AMX)
#include <immintrin.h>

#include <cstring>

#define WHERRY_AMX __attribute__((target("amx-tile,amx-int8")))

namespace wherry::math {
namespace {

constexpr int64_t kTileRows = 16;
constexpr int64_t kTileGroups = 16;  // of B in a tile: 64 k
constexpr int64_t kTileBytes = kTileGroups * kQuadBytes;

// The last groups of a panel, filled up with zeros: a tile is always read whole.
struct Tail {
  alignas(64) int8_t codes[kCodeBlockPanels][kTileBytes];
};

template <bool kTwoRows, bool kTwoPanels>
WHERRY_AMX inline void Step(const uint8_t* a, int64_t stride, const int8_t* b0, const int8_t* b1) {
  _tile_loadd(4, a, stride);
  _tile_loadd(6, b0, kQuadBytes);
  _tile_dpbusd(0, 4, 6);
  if constexpr (kTwoPanels) {
    _tile_loadd(7, b1, kQuadBytes);
    _tile_dpbusd(1, 4, 7);
  }
  if constexpr (kTwoRows) {
    _tile_loadd(5, a + kTileRows * stride, stride);
    _tile_dpbusd(2, 5, 6);
    if constexpr (kTwoPanels) _tile_dpbusd(3, 5, 7);
  }
}

template <bool kTwoRows, bool kTwoPanels>
WHERRY_AMX void Tiles(const CodeBlock& block, int64_t row, int64_t panel, const Tail& tail) {
  _tile_zero(0);
  if constexpr (kTwoPanels) _tile_zero(1);
  if constexpr (kTwoRows) _tile_zero(2);
  if constexpr (kTwoRows && kTwoPanels) _tile_zero(3);
  const uint8_t* a = block.a + row * block.a_stride;
  const int8_t* b = block.b + panel * block.panel_stride;
  for (int64_t whole = block.groups / kTileGroups; whole > 0; --whole) {
    Step<kTwoRows, kTwoPanels>(a, block.a_stride, b, b + block.panel_stride);
    a += kTileGroups * kQuad;
    b += kTileBytes;
  }
  if (block.groups % kTileGroups != 0) {
    Step<kTwoRows, kTwoPanels>(a, block.a_stride, tail.codes[panel], tail.codes[panel + (kTwoPanels ? 1 : 0)]);
  }
  const int64_t stride = block.panels * 16;
  const int64_t stride_bytes = stride * static_cast<int64_t>(sizeof(int32_t));
  int32_t* const sums = block.sums + row * stride + panel * 16;
  _tile_stored(0, sums, stride_bytes);
  if constexpr (kTwoPanels) _tile_stored(1, sums + 16, stride_bytes);
  if constexpr (kTwoRows) _tile_stored(2, sums + kTileRows * stride, stride_bytes);
  if constexpr (kTwoRows && kTwoPanels) _tile_stored(3, sums + kTileRows * stride + 16, stride_bytes);
}

}  // namespace

WHERRY_AMX void BeginAmx() {
  struct {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  } config;
  for (int tile = 0; tile < 8; ++tile) {
    config.row_bytes[tile] = 64;
    config.rows[tile] = 16;
  }
  _tile_loadconfig(&config);
}

WHERRY_AMX void EndAmx() { _tile_release(); }

void MultiplyCodesAmx(const CodeBlock& block) {
  if (block.rows <= kCodeFewRows) {  // most of a tile would be empty
    MultiplyCodesAvx512Vnni(block);
    return;
  }
  Tail tail;
  const int64_t whole = block.groups / kTileGroups;
  const size_t rest = static_cast<size_t>((block.groups - whole * kTileGroups) * kQuadBytes);
  if (rest != 0) {
    for (int64_t p = 0; p < block.panels; ++p) {
      std::memcpy(tail.codes[p], block.b + p * block.panel_stride + whole * kTileBytes, rest);
      std::memset(tail.codes[p] + rest, 0, static_cast<size_t>(kTileBytes) - rest);
    }
  }
  for (int64_t panel = 0; panel < block.panels; panel += 2) {
    const bool two_panels = panel + 1 < block.panels;
    for (int64_t row = 0; row < block.rows; row += 2 * kTileRows) {
      const bool two_rows = row + kTileRows < block.rows;
      if (two_rows) {
        two_panels ? Tiles<true, true>(block, row, panel, tail) : Tiles<true, false>(block, row, panel, tail);
      } else {
        two_panels ? Tiles<false, true>(block, row, panel, tail) : Tiles<false, false>(block, row, panel, tail);
      }
    }
  }
}

}  // namespace wherry::math
#endif  // WHERRY_ISA_AMX
