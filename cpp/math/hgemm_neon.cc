// Products of halves on 64-bit ARM with the extension FP16: FMLA takes eight multiply-adds, a panel's row is two vectors.
#include "math/hgemm_multiply.h"

#if defined(WHERRY_ISA_FP16)
#include <algorithm>
#include <cstring>

#include "hwy/base.h"
#include "math/panels.h"
#include "math/tile_neon.h"

namespace wherry::math {
namespace {

#define WHERRY_FP16 WHERRY_ARM_EXTENSION("fp16")

constexpr int kLanes = 8;  // k in a step: the halves of a vector of A
constexpr int kVectors = 2;
constexpr int kRowsAtOnce = 8;  // 16 sums, 8 vectors of A and 2 or more of B

// A by a lane has to be in one of the lower 16 registers ("x").
struct HalfLanes {
  using Vector = float16x8_t;
  template <int kLane>
  [[gnu::always_inline]] static void MultiplyAdd(Vector& sum, Vector b, Vector a) {
    asm volatile("fmla %0.8h, %1.8h, %2.h[%3]" : "+w"(sum) : "w"(b), "x"(a), "i"(kLane));
  }
};

// [steps][rows][8 k], zeros behind k.
void Pack(const float* a, int64_t stride, int64_t rows, int64_t k, float limit, uint16_t* out) {
  const float32x4_t high = vdupq_n_f32(limit);
  const float32x4_t low = vdupq_n_f32(-limit);
  const auto convert = [&](const float* from, uint16_t* to) {
    const auto half = [&](int at) { return vcvt_f16_f32(vminq_f32(high, vmaxq_f32(low, vld1q_f32(from + at)))); };
    vst1q_u16(to, vreinterpretq_u16_f16(vcombine_f16(half(0), half(4))));
  };
  const int64_t whole = k / kLanes * kLanes;
  for (int64_t r = 0; r < rows; ++r, a += stride) {
    for (int64_t i = 0; i < whole; i += kLanes) convert(a + i, out + i * rows + r * kLanes);
    if (whole < k) {
      float rest[kLanes] = {};
      std::memcpy(rest, a + whole, sizeof(float) * static_cast<size_t>(k - whole));
      convert(rest, out + whole * rows + r * kLanes);
    }
  }
}

template <int kRows>
WHERRY_FP16 void Tile(const HalfTile& tile) {
  using Step = NeonTile<HalfLanes, kRows, kLanes * 2, kRows * kLanes * 2, kVectors>;
  for (int64_t begin = 0; begin < tile.k; begin += kHalfFold) {
    float16x8_t sum[kRows][kVectors];
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(2)
      for (int v = 0; v < kVectors; ++v) sum[r][v] = vreinterpretq_f16_u16(vdupq_n_u16(0));
    }
    const uint16_t* const a = tile.a + begin * kRows;
    const uint16_t* const b = tile.b + begin * kPanelColumns;
    const int64_t depth = std::min(kHalfFold, tile.k - begin);
    const int64_t steps = depth / kLanes;
    if (steps > 0) Step::Run(a, b, steps, sum);
    if (depth % kLanes != 0) {  // what is behind B's last row may not exist
      alignas(16) uint16_t rest[kLanes * kPanelColumns] = {};
      const int64_t done = steps * kLanes;
      std::memcpy(rest, b + done * kPanelColumns, sizeof(uint16_t) * static_cast<size_t>((depth - done) * kPanelColumns));
      Step::Run(a + done * kRows, rest, 1, sum);
    }
    const bool adds = tile.adds || begin != 0;
    HWY_UNROLL(16)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(2)
      for (int v = 0; v < kVectors; ++v) {
        float* const at = tile.sums + r * tile.stride + v * kLanes;
        const float32x4_t zero = vdupq_n_f32(0.0F);
        vst1q_f32(at, vaddq_f32(adds ? vld1q_f32(at) : zero, vcvt_f32_f16(vget_low_f16(sum[r][v]))));
        vst1q_f32(at + 4, vaddq_f32(adds ? vld1q_f32(at + 4) : zero, vcvt_f32_f16(vget_high_f16(sum[r][v]))));
      }
    }
  }
}

template <int kRows = 1>
void Multiply(const HalfTile& tile, int64_t rows, int64_t panels) {
  if constexpr (kRows <= kRowsAtOnce) {
    if (rows != kRows) return Multiply<kRows + 1>(tile, rows, panels);
    Tile<kRows>(tile);
  }
}

constexpr HalfMultiplier kMultiplier = {kRowsAtOnce, 1, kRowsAtOnce * kHalfBlockK, &Pack, &Multiply<>};

}  // namespace

const HalfMultiplier& HalfMultiplierNeon() { return kMultiplier; }

}  // namespace wherry::math
#endif  // WHERRY_ISA_FP16
