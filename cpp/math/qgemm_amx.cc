// Products of 8-bit codes with AMX: a tile of 16 rows times a tile of 16 columns over 64 k in one instruction.
// Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter on AMX: two by two tiles of sums, so that each
// tile of A and of B that is loaded is used twice.
#include "math/qgemm_multiply.h"

#if defined(WHERRY_ISA_AMX)
#include <immintrin.h>

#include <cstring>

#include "math/amx.h"

#define WHERRY_AMX __attribute__((target("amx-tile,amx-int8")))

namespace wherry::math {
namespace {

constexpr int64_t kTileRows = 16;
constexpr int64_t kTileGroups = 16;  // of B in a tile: 64 k
constexpr int64_t kTileBytes = kTileGroups * kQuadBytes;
// Tiles of k of all panels of a block together, after which sums are set aside: they stay in the first-level cache while
// rows pass.
constexpr int64_t kDepthTiles = 24;
// So far ahead of a panel's tile its bytes are asked for.
constexpr int64_t kAheadBytes = 6 * kTileBytes;

// The last groups of a panel, filled up with zeros: a tile is always read whole.
struct Tail {
  alignas(64) int8_t codes[kCodeBlockPanels][kTileBytes];
};

// kRows x kPanels tiles of sums are tiles 0 to 3, row after row.
template <int kRows, int kPanels>
WHERRY_AMX inline void Step(const uint8_t* a, int64_t stride, int64_t below, const int8_t* b, int64_t panel_stride) {
  _tile_loadd(4, a, stride);
  _tile_loadd(6, b, kQuadBytes);
  _tile_dpbusd(0, 4, 6);
  if constexpr (kPanels > 1) {
    _tile_loadd(7, b + panel_stride, kQuadBytes);
    _tile_dpbusd(1, 4, 7);
  }
  if constexpr (kPanels == 4) {
    _tile_loadd(5, b + 2 * panel_stride, kQuadBytes);
    _tile_dpbusd(2, 4, 5);
    _tile_loadd(6, b + 3 * panel_stride, kQuadBytes);
    _tile_dpbusd(3, 4, 6);
  }
  if constexpr (kRows > 1) {
    _tile_loadd(5, a + below, stride);
    _tile_dpbusd(2, 5, 6);
    if constexpr (kPanels > 1) _tile_dpbusd(3, 5, 7);
  }
}

// Where the operands of one block of k begin.
struct Depth {
  const uint8_t* a;     // of an image: its begin
  const int32_t* steps;  // of an image, else null
  const int8_t* b;
  int64_t whole;        // tiles of k
  bool tail;
  bool first;           // sums start from 0, not from what is stored
  int64_t ahead;        // bytes from a panel's tile to what is asked for meanwhile
  int64_t panel_end;    // bytes from b on, less than 1 where that lies in the panels that follow,
  int64_t skipped;      // so many bytes further
};

// Lines of each tile, 64 bytes, that are asked for in one turn.
struct Lines {
  int64_t first = 0;
  int64_t count = 0;
};

template <int kRows, int kPanels, bool kImage>
WHERRY_AMX void Tiles(const CodeBlock& block, int64_t row, int64_t panel, const Depth& depth, Lines lines, const Tail& tail) {
  static_assert(kRows * kPanels <= 4 && (kRows == 1 || kPanels <= 2));
  const int64_t stride = block.panels * 16;
  const int64_t stride_bytes = stride * static_cast<int64_t>(sizeof(int32_t));
  int32_t* const sums = block.sums + row * stride + panel * 16;
  int32_t* const others = sums + (kRows > 1 ? kTileRows * stride : 32);  // or the third panel's
  if (depth.first) {
    _tile_zero(0);
    if constexpr (kPanels > 1) _tile_zero(1);
    if constexpr (kRows > 1 || kPanels > 2) _tile_zero(2);
    if constexpr (kRows * kPanels == 4) _tile_zero(3);
  } else {
    _tile_loadd(0, sums, stride_bytes);
    if constexpr (kPanels > 1) _tile_loadd(1, sums + 16, stride_bytes);
    if constexpr (kRows > 1 || kPanels > 2) _tile_loadd(2, others, stride_bytes);
    if constexpr (kRows * kPanels == 4) _tile_loadd(3, others + 16, stride_bytes);
  }
  const int64_t offset = kImage ? block.tiles[row / kTileRows] : row * block.a_stride;
  int64_t below = 0;  // bytes to the second rows of tiles
  if constexpr (kRows > 1) below = kImage ? block.tiles[row / kTileRows + 1] - offset : kTileRows * block.a_stride;
  const uint8_t* a = depth.a + offset;
  [[maybe_unused]] const int32_t* step = depth.steps;
  const int8_t* b = depth.b + panel * block.panel_stride;
  int64_t panel_end = depth.panel_end;
  for (int64_t whole = depth.whole; whole > 0; --whole, panel_end -= kTileBytes) {
    if (lines.count != 0) {
      const int8_t* ahead = b + depth.ahead + (panel_end > 0 ? 0 : depth.skipped) + lines.first * kQuadBytes;
      for (int64_t line = 0; line < lines.count; ++line, ahead += kQuadBytes) {
        for (int p = 0; p < kPanels; ++p) __builtin_prefetch(ahead + p * block.panel_stride, 0, 2);
      }
    }
    if constexpr (kImage) {
      Step<kRows, kPanels>(a + *step++, block.a_stride, below, b, block.panel_stride);
    } else {
      Step<kRows, kPanels>(a, block.a_stride, below, b, block.panel_stride);
      a += kTileGroups * kQuad;
    }
    b += kTileBytes;
  }
  if constexpr (!kImage) {
    if (depth.tail) Step<kRows, kPanels>(a, block.a_stride, below, tail.codes[panel], kTileBytes);
  }
  _tile_stored(0, sums, stride_bytes);
  if constexpr (kPanels > 1) _tile_stored(1, sums + 16, stride_bytes);
  if constexpr (kRows > 1 || kPanels > 2) _tile_stored(2, others, stride_bytes);
  if constexpr (kRows * kPanels == 4) _tile_stored(3, others + 16, stride_bytes);
}

using TilesOf = void (*)(const CodeBlock& block, int64_t row, int64_t panel, const Depth& depth, Lines lines,
                         const Tail& tail);

// All rows by 1, 2 or 4 panels, over one block of k. Each turn asks for a part of every tile that comes soon, so that memory
// delivers all the time, and not in the first turn only.
template <bool kImage>
void TileRows(const CodeBlock& block, int64_t panel, int64_t panels, const Depth& depth, const Tail& tail) {
  constexpr TilesOf kOneRow[] = {&Tiles<1, 1, kImage>, &Tiles<1, 2, kImage>, nullptr, &Tiles<1, 4, kImage>};
  constexpr TilesOf kTwoRows[] = {&Tiles<2, 1, kImage>, &Tiles<2, 2, kImage>};
  const int64_t step = panels > 2 ? kTileRows : 2 * kTileRows;
  const int64_t turns = (block.rows + step - 1) / step;
  for (int64_t turn = 0; turn < turns; ++turn) {
    const int64_t row = turn * step;
    const TilesOf tiles = panels > 2 || row + kTileRows >= block.rows ? kOneRow[panels - 1] : kTwoRows[panels - 1];
    Lines lines;
    if (block.prefetch != 0) {
      lines.first = kTileGroups * turn / turns;
      lines.count = kTileGroups * (turn + 1) / turns - lines.first;
    }
    MemoryBarrier();
    tiles(block, row, panel, depth, lines, tail);
  }
  MemoryBarrier();
}

}  // namespace

WHERRY_AMX void BeginAmx() { LoadTileShapes(kTileRows); }

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
  const int64_t panel_bytes = block.groups * kQuadBytes;  // of a panel's rows, which may be some of more
  const int64_t ahead = kAheadBytes < panel_bytes ? kAheadBytes : panel_bytes;
  const bool image = block.tiles != nullptr;
  for (int64_t panel = 0, panels = 0; panel < block.panels; panel += panels) {
    const int64_t left = block.panels - panel;
    panels = left >= 4 ? 4 : left >= 2 ? 2 : 1;
    const int64_t deep = block.rows <= 2 * kTileRows ? whole : kDepthTiles / panels;
    int64_t k = 0;
    do {
      const int64_t count = whole - k < deep ? whole - k : deep;
      Depth depth;
      depth.a = image ? block.a : block.a + k * kTileGroups * kQuad;
      depth.steps = image ? block.steps + k : nullptr;
      depth.b = block.b + k * kTileBytes;
      depth.whole = count;
      depth.tail = k + count == whole && rest != 0;
      depth.first = k == 0;
      depth.ahead = ahead;
      depth.panel_end = panel_bytes - ahead - k * kTileBytes;
      depth.skipped = block.prefetch - panel_bytes;
      (image ? &TileRows<true> : &TileRows<false>)(block, panel, panels, depth, tail);
      k += count;
    } while (k < whole);
  }
}

// Four panels to a row of A take half as much of it from the second-level cache, whose loads wait for the same few line
// buffers as what is asked for from memory. Where k is not deep or little is asked for, sums are put aside more often than
// that saves. One tile of rows waits for memory alone: four panels help one thread, with 32 of them in a row, and hinder two,
// with 16 each. Two tiles are held at once with two panels.
CodeBlockShape ShapeForAmx(int64_t rows, int64_t groups, int64_t far) {
  constexpr int64_t kManyPanels = 32;
  const bool four = rows > 2 * kTileRows ? far > 0 : rows <= kTileRows && far >= kManyPanels;
  return {kCodeBlockRows, four && groups > kDepthTiles / 2 * kTileGroups ? 4 : 2};
}

}  // namespace wherry::math
#endif  // WHERRY_ISA_AMX
