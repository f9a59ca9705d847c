// Products of 8-bit codes for CPUs without dot-product instructions: codes become int16, whose products are added in
// pairs (PMADDWD).
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
inline constexpr int kSumLanes = static_cast<int>(hn::MaxLanes(SumTag()));
inline constexpr int kSumVectors = 16 / kSumLanes;  // of one panel
inline constexpr int64_t kBlockGroups = 64;
// Sums stay in registers.
inline constexpr int kCodeTileRows = kSumLanes == 16 ? 12 : kSumLanes == 8 ? 4 : 2;

// One panel's groups [begin, end) as pairs of int16: [2 * groups][16 columns][2].
void WidenPanel(const int8_t* codes, int64_t groups, int16_t* out) {
  const hn::Repartition<int8_t, SumTag> d8;
  const SumTag d32;
  const PairTag d16;
  for (int64_t g = 0; g < groups; ++g, codes += kQuadBytes, out += 2 * 32) {
    for (int v = 0; v < kSumVectors; ++v) {
      const auto quads = hn::BitCast(d32, hn::LoadU(d8, codes + v * kSumLanes * 4));
      // Bytes 0 and 1 of each word, then 2 and 3, as two int16 in a word.
      const auto pair = [&](auto low_first) {
        const auto low = hn::ShiftRight<24>(hn::ShiftLeft<24>(low_first));
        const auto high = hn::ShiftRight<24>(hn::ShiftLeft<16>(low_first));
        return hn::BitCast(d16, hn::Or(hn::And(low, hn::Set(d32, 0xFFFF)), hn::ShiftLeft<16>(high)));
      };
      hn::StoreU(pair(quads), d16, out + v * kSumLanes * 2);
      hn::StoreU(pair(hn::ShiftRight<16>(quads)), d16, out + 32 + v * kSumLanes * 2);
    }
  }
}

template <int kRows>
void PairTile(const int16_t* a, int64_t a_stride, const int16_t* b, int64_t pairs, int32_t* sums, int64_t stride,
              bool first) {
  const SumTag d32;
  const PairTag d16;
  using V = hn::Vec<SumTag>;
  V low[kRows][kSumVectors];
  V high[kRows][kSumVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kSumVectors; ++v) low[r][v] = high[r][v] = hn::Zero(d32);
  }
  for (int64_t p = 0; p < pairs; ++p) {
    for (int v = 0; v < kSumVectors; ++v) {
      const auto column = hn::LoadU(d16, b + p * 32 + v * kSumLanes * 2);
      for (int r = 0; r < kRows; ++r) {
        int32_t pair;
        __builtin_memcpy(&pair, a + r * a_stride + 2 * p, sizeof(pair));
        const auto row = hn::BitCast(d16, hn::Set(d32, pair));
        low[r][v] = hn::ReorderWidenMulAccumulate(d32, row, column, low[r][v], high[r][v]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kSumVectors; ++v) {
      int32_t* const at = sums + r * stride + v * kSumLanes;
      const V sum = hn::RearrangeToOddPlusEven(low[r][v], high[r][v]);
      hn::StoreU(first ? sum : hn::Add(sum, hn::LoadU(d32, at)), d32, at);
    }
  }
}

template <int kRows = 1>
void RunPairTile(int rows, const int16_t* a, int64_t a_stride, const int16_t* b, int64_t pairs, int32_t* sums,
                 int64_t stride, bool first) {
  if constexpr (kRows <= kCodeTileRows) {
    if (rows == kRows) {
      PairTile<kRows>(a, a_stride, b, pairs, sums, stride, first);
    } else {
      RunPairTile<kRows + 1>(rows, a, a_stride, b, pairs, sums, stride, first);
    }
  }
}

void MultiplyCodes(const CodeBlock& block) {
  alignas(64) int16_t wide_a[kCodeTileRows * kBlockGroups * kQuad];
  alignas(64) int16_t wide_b[kBlockGroups * 64];
  const int64_t stride = block.panels * 16;
  for (int64_t panel = 0; panel < block.panels; ++panel) {
    for (int64_t g0 = 0; g0 < block.groups; g0 += kBlockGroups) {
      const int64_t groups = std::min(kBlockGroups, block.groups - g0);
      WidenPanel(block.b + panel * block.panel_stride + g0 * kQuadBytes, groups, wide_b);
      for (int64_t row = 0; row < block.rows; row += kCodeTileRows) {
        const int64_t rows = std::min<int64_t>(kCodeTileRows, block.rows - row);
        for (int64_t r = 0; r < rows; ++r) {
          const uint8_t* const from = block.a + (row + r) * block.a_stride + g0 * kQuad;
          for (int64_t i = 0; i < groups * kQuad; ++i) wide_a[r * kBlockGroups * kQuad + i] = from[i];
        }
        RunPairTile(static_cast<int>(rows), wide_a, kBlockGroups * kQuad, wide_b, 2 * groups,
                    block.sums + row * stride + panel * 16, stride, g0 == 0);
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
