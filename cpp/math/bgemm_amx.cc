// Two tiles of rows by two panels, as products of codes do (qgemm_amx.cc), with six products to a tile of k. The next block of
// B is split into its parts between these products, which leave the vector units idle.
#include "math/bgemm.h"

#if defined(WHERRY_ISA_AMX)
#if defined(__GNUC__) && !defined(__clang__)
// GCC's own headers leave "undefined" vectors uninitialized and then warn of it (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cstring>

#include "math/amx.h"
#include "math/gemm.h"

#define WHERRY_AMX __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq")))
#define WHERRY_AMX_INLINE inline __attribute__((always_inline)) WHERRY_AMX

namespace wherry::math {
namespace {

constexpr int64_t kSumStride = kBfloatPanels * kPanelColumns;
constexpr int64_t kSumStrideBytes = kSumStride * static_cast<int64_t>(sizeof(float));
constexpr int64_t kPairFloats = 2 * kPanelColumns;
constexpr int64_t kHalfPairs = kBfloatTilePairs / 2;
constexpr unsigned kUpperHalf = 0xFFFF0000U;

// What is left of numbers without their upper 16 bits.
WHERRY_AMX_INLINE __m512i Rest(__m512i x) {
  const __m512i upper = _mm512_and_si512(x, _mm512_set1_epi32(static_cast<int>(kUpperHalf)));
  return _mm512_castps_si512(_mm512_sub_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(upper)));
}

// The parts of two neighbouring rows of a panel: a word has the first row's bfloat16 in its low half, the second's in its high.
WHERRY_AMX_INLINE void SplitPair(const float* from, uint16_t* to) {
  constexpr int kFirstOrBoth = 0xF8;  // low | (upper & second)
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(kUpperHalf));
  __m512i first = _mm512_loadu_si512(from);
  __m512i second = _mm512_loadu_si512(from + kPanelColumns);
  for (int64_t part = 0; part < kBfloatParts; ++part) {
    const __m512i low = _mm512_srli_epi32(first, 16);
    _mm512_store_si512(to + part * kBfloatPartSize, _mm512_ternarylogic_epi32(low, upper, second, kFirstOrBoth));
    first = Rest(first);
    second = Rest(second);
  }
}

// Pair `i` of half a tile that is to be split while others are multiplied.
struct Half {
  const float* from;
  uint16_t* to;
  int64_t ahead;  // floats from there to what is fetched meanwhile

  WHERRY_AMX_INLINE void Split(int i) const {
    const float* const rows = from + i * kPairFloats;
    _mm_prefetch(reinterpret_cast<const char*>(rows + ahead), _MM_HINT_T1);
    _mm_prefetch(reinterpret_cast<const char*>(rows + ahead + kPanelColumns), _MM_HINT_T1);
    SplitPair(rows, to + i * kPairFloats);
  }
};

// Where the parts of B come from, block after block: [depth tiles][2 panels][3][16][16][2].
class Splitter {
 public:
  Splitter(const BfloatProduct& product, float* tail) : product_(product), tail_(tail) {}

  // The block of tiles [tile, end) of two panels. ahead: floats from there to the block that follows it, or 0.
  void Begin(int64_t panel, int64_t tile, int64_t end, int64_t ahead, uint16_t* to) {
    panel_ = panel;
    tile_ = tile;
    halves_ = 2 * kBfloatPanels * (end - tile);
    half_ = {nullptr, to, ahead};
    Open();
  }
  bool left() const { return halves_ != 0; }
  const Half& half() const { return half_; }
  void Next() {
    half_.from += kHalfPairs * kPairFloats;
    half_.to += kHalfPairs * kPairFloats;
    if (--halves_ % 2 != 0) return;
    half_.to += kBfloatTileSize - kBfloatPartSize;  // past the other parts
    second_ = !second_;
    if (!second_) ++tile_;
    if (halves_ != 0) Open();
  }
  WHERRY_AMX void SplitRest() {
    for (; left(); Next()) {
      for (int i = 0; i < kHalfPairs; ++i) half_.Split(i);
    }
  }

 private:
  // The tile's rows: where they lie, or filled up with zeros.
  void Open() {
    const PanelMatrix& b = product_.b;
    const int64_t row = tile_ * kBfloatTileDepth;
    const int64_t rows = product_.shape.k - row;
    half_.from = static_cast<const float*>(b.data) + ((panel_ + (second_ ? 1 : 0)) * b.k + b.first_row + row) * kPanelColumns;
    if (rows >= kBfloatTileDepth) return;
    const size_t there = static_cast<size_t>(rows * kPanelColumns) * sizeof(float);
    const size_t all = static_cast<size_t>(kBfloatTileDepth * kPanelColumns) * sizeof(float);
    std::memcpy(tail_, half_.from, there);
    std::memset(reinterpret_cast<std::byte*>(tail_) + there, 0, all - there);
    half_.from = tail_;
    half_.ahead = 0;
  }

  const BfloatProduct& product_;
  float* tail_;
  int64_t panel_ = 0;
  int64_t tile_ = 0;
  bool second_ = false;
  int64_t halves_ = 0;
  Half half_ = {};
};

// One tile of k: tiles 0 to 3 (of one tile of rows: 0 and 1) of sums += A's parts, `part` apart, the second rows' `below` the
// first, times B's.
template <int kRows, bool kSplits>
WHERRY_AMX_INLINE void Step(const uint16_t* a, int64_t part, int64_t below, const uint16_t* b, const Half& half) {
  const auto load_a = [&](int64_t p) WHERRY_AMX {
    _tile_loadd(4, a + p * part, kAmxLine);
    if constexpr (kRows > 1) _tile_loadd(5, a + below + p * part, kAmxLine);
  };
  const auto load_b = [&](int64_t p) WHERRY_AMX {
    _tile_loadd(6, b + p * kBfloatPartSize, kAmxLine);
    _tile_loadd(7, b + kBfloatTileSize + p * kBfloatPartSize, kAmxLine);
  };
  const auto split = [&](int i) WHERRY_AMX {
    if constexpr (kSplits) half.Split(i);
  };
  const auto multiply = [&](int i) WHERRY_AMX {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    split(i);
    if constexpr (kRows > 1) {
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  };
  load_a(2);
  load_b(0);
  multiply(0);
  load_a(1);
  multiply(1);
  split(2);
  load_b(1);
  multiply(3);
  load_a(0);
  multiply(4);
  split(5);
  load_b(2);
  multiply(6);
  load_b(0);
  multiply(7);
}

// What all rows' turns with a block of B have in common.
struct Block {
  const uint16_t* a;
  int64_t part;   // bfloat16 from one part of a tile of A to the next,
  int64_t below;  // and from one tile of rows to the next
  const uint16_t* b;
  int64_t tiles;  // of k
  bool first;     // sums start from 0
};

template <int kRows>
WHERRY_AMX void MultiplyRows(const Block& block, const uint16_t* a, float* sums, float* others, Splitter& splitter) {
  if (block.first) {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (kRows > 1) {
      _tile_zero(2);
      _tile_zero(3);
    }
  } else {
    _tile_loadd(0, sums, kSumStrideBytes);
    _tile_loadd(1, sums + kPanelColumns, kSumStrideBytes);
    if constexpr (kRows > 1) {
      _tile_loadd(2, others, kSumStrideBytes);
      _tile_loadd(3, others + kPanelColumns, kSumStrideBytes);
    }
  }
  const uint16_t* b = block.b;
  for (int64_t tile = 0; tile < block.tiles; ++tile) {
    if (splitter.left()) {
      Step<kRows, true>(a, block.part, block.below, b, splitter.half());
      splitter.Next();
    } else {
      Step<kRows, false>(a, block.part, block.below, b, splitter.half());
    }
    a += kBfloatParts * block.part;
    b += kBfloatPanels * kBfloatTileSize;
  }
  _tile_stored(0, sums, kSumStrideBytes);
  _tile_stored(1, sums + kPanelColumns, kSumStrideBytes);
  if constexpr (kRows > 1) {
    _tile_stored(2, others, kSumStrideBytes);
    _tile_stored(3, others + kPanelColumns, kSumStrideBytes);
  }
}

// Sums [m][2][16] of two panels to C.
WHERRY_AMX void Store(const BfloatProduct& product, int64_t panel, const float* sums) {
  constexpr int kInfinityOrNan = 0x01 | 0x08 | 0x10 | 0x80;
  for (int64_t row = 0; row < product.shape.m; ++row) {
    for (int64_t p = panel; p < panel + kBfloatPanels; ++p, sums += kPanelColumns) {
      __m512 sum = _mm512_load_ps(sums);
      if (_mm512_fpclass_ps_mask(sum, kInfinityOrNan) != 0) [[unlikely]] {
        alignas(64) float plain[kPanelColumns] = {};
        AddRowProduct(product.a + row * product.shape.k, product.shape.k, product.b, {p, 1, 1}, plain, Isa::kAmx, nullptr);
        sum = _mm512_load_ps(plain);
      }
      const __m512 bias = _mm512_loadu_ps(product.bias + p * kPanelColumns);
      _mm512_storeu_ps(product.c + row * product.ldc + p * kPanelColumns, _mm512_add_ps(sum, bias));
    }
  }
}

}  // namespace

WHERRY_AMX void SplitRowTile(const BfloatShape& shape, const float* a, int64_t tile, uint16_t* parts) {
  alignas(64) static constexpr uint16_t kUpper[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                                      33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  const __m512i upper = _mm512_load_si512(kUpper);
  const int64_t tile_rows = shape.tile_rows();
  const auto mask = [](int64_t left) { return static_cast<__mmask16>(left >= 16 ? 0xFFFF : left <= 0 ? 0 : (1 << left) - 1); };
  uint16_t* const tile_parts = parts + tile * shape.row_tile_size();
  for (int64_t r = 0; r < tile_rows; ++r) {
    const int64_t row = tile * tile_rows + r;
    const float* const from = a + row * shape.k;
    uint16_t* to = tile_parts + r * kBfloatTileDepth;
    for (int64_t k = 0; k < shape.k; k += kBfloatTileDepth) {
      const int64_t left = row < shape.m ? shape.k - k : 0;
      __m512i low = _mm512_castps_si512(_mm512_maskz_loadu_ps(mask(left), from + k));
      __m512i high = _mm512_castps_si512(_mm512_maskz_loadu_ps(mask(left - 16), from + k + 16));
      for (int64_t part = 0; part < kBfloatParts; ++part, to += tile_rows * kBfloatTileDepth) {
        _mm512_store_si512(to, _mm512_permutex2var_epi16(low, upper, high));
        low = Rest(low);
        high = Rest(high);
      }
    }
  }
}

WHERRY_AMX void RunBfloatProduct(const BfloatProduct& product, int64_t begin, int64_t end, std::byte* scratch) {
  const BfloatShape& shape = product.shape;
  const int64_t depth_tiles = shape.depth_tiles();
  const int64_t blocks = (depth_tiles + kBfloatDepthTiles - 1) / kBfloatDepthTiles;
  const int64_t count = (end - begin) * blocks;
  if (count <= 0) return;
  uint16_t* const parts[] = {reinterpret_cast<uint16_t*>(scratch), reinterpret_cast<uint16_t*>(scratch) + kBfloatBlockSize};
  float* const tail = reinterpret_cast<float*>(parts[1] + kBfloatBlockSize);
  float* const sums = tail + kBfloatTileDepth * kPanelColumns;

  Splitter splitter(product, tail);
  const auto begin_block = [&](int64_t i) {
    const int64_t tile = i % blocks * kBfloatDepthTiles;
    const int64_t tile_end = tile + kBfloatDepthTiles < depth_tiles ? tile + kBfloatDepthTiles : depth_tiles;
    // Behind a pair's last block comes the first of the next pair.
    int64_t rows = kBfloatDepthTiles * kBfloatTileDepth;
    if (tile_end == depth_tiles) rows = kBfloatPanels * product.b.k - tile * kBfloatTileDepth;
    splitter.Begin((begin + i / blocks) * kBfloatPanels, tile, tile_end, i + 1 < count ? rows * kPanelColumns : 0, parts[i % 2]);
  };
  LoadTileShapes(shape.tile_rows());
  begin_block(0);
  splitter.SplitRest();
  for (int64_t i = 0; i < count; ++i) {
    if (i + 1 < count) begin_block(i + 1);
    Block block;
    block.part = shape.tile_rows() * kBfloatTileDepth;
    block.below = shape.row_tile_size();
    block.a = product.parts + i % blocks * kBfloatDepthTiles * kBfloatParts * block.part;
    block.b = parts[i % 2];
    const int64_t tiles = depth_tiles - i % blocks * kBfloatDepthTiles;
    block.tiles = tiles < kBfloatDepthTiles ? tiles : kBfloatDepthTiles;
    block.first = i % blocks == 0;
    for (int64_t row_tile = 0; row_tile < shape.row_tiles(); row_tile += 2) {
      float* const at = sums + row_tile * shape.tile_rows() * kSumStride;
      const uint16_t* const a = block.a + row_tile * block.below;
      MemoryBarrier();
      if (row_tile + 1 < shape.row_tiles()) {
        MultiplyRows<2>(block, a, at, at + shape.tile_rows() * kSumStride, splitter);
      } else {
        MultiplyRows<1>(block, a, at, nullptr, splitter);
      }
    }
    MemoryBarrier();
    splitter.SplitRest();
    if ((i + 1) % blocks == 0) Store(product, (begin + i / blocks) * kBfloatPanels, sums);
  }
  _tile_release();
}

}  // namespace wherry::math
#endif  // WHERRY_ISA_AMX
