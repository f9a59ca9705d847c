// Products of 8-bit codes for CPUs without dot-product instructions: codes become int16, whose products are added in pairs
// (PMADDWD). Of VPMADDUBSW, which multiplies the bytes themselves, two products do not always fit into the int16 of their sum.
#include "math/qgemm_multiply.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/qgemm_multiply.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"

#if !HWY_ARCH_ARM  // which has qgemm_neon.cc
HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using SumTag = hn::CappedTag<int32_t, 16>;
using PairTag = hn::Repartition<int16_t, SumTag>;
using SumVector = hn::Vec<SumTag>;
using PairVector = hn::Vec<PairTag>;
inline constexpr int kSumLanes = static_cast<int>(hn::MaxLanes(SumTag()));
inline constexpr int kSumVectors = 16 / kSumLanes;  // of one panel
inline constexpr int64_t kBlockGroups = 64;
inline constexpr int64_t kBlockPanels = 2;
// Sums stay in registers.
inline constexpr int kCodeTileRows = kSumLanes == 16 ? 14 : kSumLanes == 8 ? 6 : 2;
inline constexpr int64_t kPairs = 2;  // of a quad
inline constexpr int64_t kQuadPairs = kPairs * kCodeColumns;
inline constexpr int64_t kRowWords = kPairs * kBlockGroups;  // of a row of A: all its pairs

// A panel's groups as pairs, first the first two codes of each quad and then the others: [groups][kPairs][16 columns].
void WidenPanel(const int8_t* codes, int64_t groups, int32_t* pairs) {
  const hn::Repartition<int8_t, SumTag> d8;
  const SumTag d32;
  for (int64_t g = 0; g < groups; ++g, codes += kQuadBytes, pairs += kQuadPairs) {
    HWY_UNROLL(4)
    for (int v = 0; v < kSumVectors; ++v) {
      const SumVector quads = hn::BitCast(d32, hn::LoadU(d8, codes + v * kSumLanes * kQuad));
      const auto pair = [&](SumVector low) HWY_ATTR {
        const SumVector first = hn::ShiftRight<24>(hn::ShiftLeft<24>(low));
        const SumVector second = hn::ShiftRight<24>(hn::ShiftLeft<16>(low));
        return hn::Or(hn::And(first, hn::Set(d32, 0xFFFF)), hn::ShiftLeft<16>(second));
      };
      hn::StoreU(pair(quads), d32, pairs + v * kSumLanes);
      hn::StoreU(pair(hn::ShiftRight<16>(quads)), d32, pairs + kCodeColumns + v * kSumLanes);
    }
  }
}

// The same pairs of a row of A. codes may be read, and pairs written, up to a multiple of kCodeRowBytes.
void WidenRow(const uint8_t* codes, int64_t groups, int32_t* pairs) {
  const hn::Repartition<uint16_t, SumTag> d16;
  const hn::Rebind<uint8_t, decltype(d16)> d8;
  for (int64_t g = 0; g < groups; g += kSumLanes / kPairs) {
    const auto wide = hn::PromoteTo(d16, hn::LoadU(d8, codes + g * kQuad));
    hn::StoreU(hn::BitCast(SumTag(), wide), SumTag(), pairs + g * kPairs);
  }
}

// gcc 12 else makes all products before it adds any, and has no registers left for sums.
HWY_INLINE void KeepInRegister([[maybe_unused]] SumVector& sum) {
#if HWY_ARCH_X86
  asm volatile("" : "+v"(sum.raw));
#endif
}

// What is at `from`, rows `stride` apart, or zeros.
template <int kRows, int kVectors>
HWY_INLINE void LoadSums(const int32_t* from, bool zeros, int64_t stride, SumVector (&sums)[kRows][kVectors]) {
  const SumTag d32;
  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = zeros ? hn::Zero(d32) : hn::LoadU(d32, from + r * stride + v * kSumLanes);
    }
  }
}

// sums += a word of each row, which lie `stride` words apart, times columns of pairs.
template <int kRows, int kVectors>
HWY_INLINE void AddPairs(const int32_t* a, int64_t stride, const PairVector (&columns)[kVectors],
                         SumVector (&sums)[kRows][kVectors]) {
  const SumTag d32;
  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    const PairVector row = hn::BitCast(PairTag(), hn::Set(d32, a[r * stride]));
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = hn::Add(sums[r][v], hn::WidenMulPairwiseAdd(d32, row, columns[v]));
      KeepInRegister(sums[r][v]);
    }
  }
}

template <int kRows, int kVectors>
HWY_INLINE void StoreSums(const SumVector (&sums)[kRows][kVectors], int64_t stride, int32_t* to) {
  HWY_UNROLL(16)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[r][v], SumTag(), to + r * stride + v * kSumLanes);
  }
}

// Rows of pairs, [kRows][kRowWords], by one panel of them.
template <int kRows>
void PairTile(const int32_t* a, const int32_t* b, int64_t groups, bool first, int64_t stride, int32_t* to) {
  SumVector sums[kRows][kSumVectors];
  LoadSums(to, first, stride, sums);
  const int32_t* const end = a + kPairs * groups;
  do {
    PairVector columns[kSumVectors];
    HWY_UNROLL(4)
    for (int v = 0; v < kSumVectors; ++v) columns[v] = hn::BitCast(PairTag(), hn::LoadU(SumTag(), b + v * kSumLanes));
    AddPairs(a, kRowWords, columns, sums);
    b += kCodeColumns;
  } while (++a < end);
  StoreSums(sums, stride, to);
}

using PairTileFunction = void (*)(const int32_t*, const int32_t*, int64_t, bool, int64_t, int32_t*);

template <int kRows = 1>
PairTileFunction FindPairTile(int64_t rows) {
  if constexpr (kRows < kCodeTileRows) {
    if (rows != kRows) return FindPairTile<kRows + 1>(rows);
  }
  return &PairTile<kRows>;
}

// Few rows by one panel, whose codes become pairs in registers, as they are read once: the first and the third of each quad,
// and the second and the fourth. a: words of quads, [kRows][a_stride].
template <int kRows>
void FewRowsTile(const uint8_t* a, int64_t a_stride, const int8_t* b, int64_t groups, int64_t stride, int32_t* to) {
  const PairTag d16;
  const SumTag d32;
  SumVector sums[kRows][kSumVectors];
  LoadSums(to, true, stride, sums);
  for (int64_t g = 0; g < groups; ++g, b += kQuadBytes) {
    PairVector odd[kRows];
    PairVector even[kRows];
    HWY_UNROLL(4)
    for (int r = 0; r < kRows; ++r) {
      int32_t quad;
      __builtin_memcpy(&quad, a + r * a_stride + g * kQuad, sizeof(quad));
      const PairVector quads = hn::BitCast(d16, hn::Set(d32, quad));
      odd[r] = hn::And(quads, hn::Set(d16, 0xFF));
      even[r] = hn::BitCast(d16, hn::ShiftRight<8>(hn::BitCast(hn::RebindToUnsigned<PairTag>(), quads)));
    }
    HWY_UNROLL(4)
    for (int v = 0; v < kSumVectors; ++v) {
      const PairVector quads = hn::LoadU(d16, reinterpret_cast<const int16_t*>(b + v * kSumLanes * kQuad));
      const PairVector odd_columns = hn::ShiftRight<8>(hn::ShiftLeft<8>(quads));
      const PairVector even_columns = hn::ShiftRight<8>(quads);
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) {
        const SumVector pair = hn::Add(hn::WidenMulPairwiseAdd(d32, odd[r], odd_columns),
                                       hn::WidenMulPairwiseAdd(d32, even[r], even_columns));
        sums[r][v] = hn::Add(sums[r][v], pair);
      }
    }
  }
  StoreSums(sums, stride, to);
}

constexpr int64_t kFewPairRows = 2;
constexpr decltype(&FewRowsTile<1>) kFewRowsTiles[kFewPairRows] = {&FewRowsTile<1>, &FewRowsTile<2>};

void MultiplyCodes(const CodeBlock& block) {
  const int64_t stride = block.panels * kCodeColumns;
  if (block.rows <= kFewPairRows) {
    for (int64_t panel = 0; panel < block.panels; ++panel) {
      kFewRowsTiles[block.rows - 1](block.a, block.a_stride, block.b + panel * block.panel_stride, block.groups, stride,
                                    block.sums + panel * kCodeColumns);
    }
    return;
  }
  alignas(64) int32_t a[kCodeTileRows * kRowWords];
  alignas(64) int32_t b[kBlockPanels * kBlockGroups * kQuadPairs];
  const int64_t tiles = (block.rows + kCodeTileRows - 1) / kCodeTileRows;
  for (int64_t panel = 0; panel < block.panels; panel += kBlockPanels) {
    const int64_t panels = std::min(kBlockPanels, block.panels - panel);
    for (int64_t g0 = 0; g0 < block.groups; g0 += kBlockGroups) {
      const int64_t groups = std::min(kBlockGroups, block.groups - g0);
      for (int64_t p = 0; p < panels; ++p) {
        WidenPanel(block.b + (panel + p) * block.panel_stride + g0 * kQuadBytes, groups, b + p * kBlockGroups * kQuadPairs);
      }
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t row = block.rows * t / tiles;
        const int64_t rows = block.rows * (t + 1) / tiles - row;
        for (int64_t r = 0; r < rows; ++r) {
          WidenRow(block.a + (row + r) * block.a_stride + g0 * kQuad, groups, a + r * kRowWords);
        }
        const PairTileFunction tile = FindPairTile(rows);
        for (int64_t p = 0; p < panels; ++p) {
          tile(a, b + p * kBlockGroups * kQuadPairs, groups, g0 == 0, stride,
               block.sums + row * stride + (panel + p) * kCodeColumns);
        }
      }
    }
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace wherry::math {

CodeMultiplier CodeMultiplierFor([[maybe_unused]] Isa isa, [[maybe_unused]] int64_t rows) {
#if defined(WHERRY_ISA_AMX)
  // In products of few rows most of a tile would be empty.
  if (isa >= Isa::kAmx && rows > kCodeFewRows) return {16, true, &BeginAmx, &EndAmx, &MultiplyCodesAmx, &ShapeForAmx};
#endif
#if defined(WHERRY_ISA_AVX512VNNI)
  if (isa >= Isa::kAvx512Vnni) return {1, false, nullptr, nullptr, &MultiplyCodesAvx512Vnni};
#endif
#if defined(WHERRY_ISA_AVXVNNI)
  if (isa == Isa::kAvxVnni) return {1, false, nullptr, nullptr, &MultiplyCodesAvxVnni};
#endif
#if defined(WHERRY_ISA_I8MM)
  if (isa >= Isa::kI8mm) return {1, false, nullptr, nullptr, &MultiplyCodesI8mm};
#endif
#if defined(WHERRY_ISA_DOTPROD)
  if (isa >= Isa::kDotProduct) return {1, false, nullptr, nullptr, &MultiplyCodesDot};
#endif
#if defined(__ARM_NEON)
  return {1, false, nullptr, nullptr, &MultiplyCodesNeon};
#else
  return {1, false, nullptr, nullptr, WHERRY_SELECT(isa, MultiplyCodes)};
#endif
}

}  // namespace wherry::math
#endif  // HWY_ONCE
