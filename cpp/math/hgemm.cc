// Blocking of products of halves: a few tiles of rows are packed over all of k, then each group of panels multiplies all of
// them while it is in a cache. Sums of a tile wait in the first-level cache until its last k.
#include "math/hgemm.h"

#include <algorithm>

#include "math/hgemm_multiply.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/hgemm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// c[0, count) = clamp(sums + bias + residual); bias and residual may be null.
inline void FinishHalfRow(const float* sums, const float* bias, const float* residual, Clamp clamp, int64_t count,
                          float* c) {
  const hn::CappedTag<float, 16> d;
  constexpr auto kLanes = static_cast<int64_t>(hn::MaxLanes(d));
  const auto low = hn::Set(d, clamp.low);
  const auto high = hn::Set(d, clamp.high);
  const auto finish = [&](const auto& load, int64_t i) {
    auto value = hn::LoadU(d, sums + i);
    if (bias != nullptr) value = hn::Add(value, load(bias + i));
    if (residual != nullptr) value = hn::Add(value, load(residual + i));
    // The second operand is the one that x86 returns for NaN.
    return hn::Min(high, hn::Max(low, value));
  };
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    hn::StoreU(finish([&](const float* from) { return hn::LoadU(d, from); }, i), d, c + i);
  }
  if (i < count) {
    const auto rest = static_cast<size_t>(count - i);
    hn::StoreN(finish([&](const float* from) { return hn::LoadN(d, from, rest); }, i), d, c + i, rest);
  }
}

void FinishHalfTile(const float* sums, int64_t stride, int64_t rows, int64_t columns, const float* bias,
                    const float* residual, Activation activation, float* c, int64_t ldc) {
  const Clamp clamp = ClampOf(activation);
  for (int64_t r = 0; r < rows; ++r) {
    const float* const added = residual != nullptr ? residual + r * ldc : nullptr;
    FinishHalfRow(sums + r * stride, bias, added, clamp, columns, c + r * ldc);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {
namespace {

constexpr int64_t kPackedBytes = 256 * 1024;  // of rows that a task packs at a time, but always one tile
constexpr int64_t kMostTiles = 8;
constexpr int64_t kStagedColumns = kHalfBlockK + 16;
constexpr int64_t kSumColumns = kHalfMostPanels * kPanelColumns;
constexpr size_t kStagedBytes = sizeof(float) * static_cast<size_t>(kHalfMostRows * kStagedColumns);
constexpr size_t kSumBytes = sizeof(float) * static_cast<size_t>(kHalfMostRows * kSumColumns);
static_assert(kStagedBytes % 64 == 0 && kSumBytes % 64 == 0 && kHalfBlockK % kHalfFold == 0);

int64_t PackedTileHalves(const HalfMultiplier& multiplier, int64_t k) {
  return (k + kHalfBlockK - 1) / kHalfBlockK * multiplier.block_halves;
}

// How many tiles a task packs at a time.
int64_t TilesAtOnce(const HalfMultiplier& multiplier, int64_t m, int64_t k) {
  const int64_t bytes = std::max<int64_t>(1, 2 * PackedTileHalves(multiplier, k));
  const int64_t tiles = (m + multiplier.rows - 1) / multiplier.rows;
  return std::max<int64_t>(1, std::min({kMostTiles, tiles, kPackedBytes / bytes}));
}

struct Range {
  int64_t begin;
  int64_t end;
};

// Part `index` of `parts` of [0, count), in units of `unit`.
Range Part(int64_t count, int64_t unit, int64_t index, int64_t parts) {
  const int64_t units = (count + unit - 1) / unit;
  return {std::min(count, units * index / parts * unit), std::min(count, units * (index + 1) / parts * unit)};
}

void PackTile(const HalfMultiplier& multiplier, const RowSource& a, int64_t row, int64_t rows, int64_t k, float limit,
              float* staged, uint16_t* out) {
  for (int64_t k0 = 0; k0 < k; k0 += kHalfBlockK, out += multiplier.block_halves) {
    const int64_t k1 = std::min(k, k0 + kHalfBlockK);
    if (a.copy == nullptr) {
      multiplier.pack(a.data + row * a.stride + k0, a.stride, rows, k1 - k0, limit, out);
    } else {
      a.copy(a.source, row, rows, k0, k1, staged, kStagedColumns);
      multiplier.pack(staged, kStagedColumns, rows, k1 - k0, limit, out);
    }
  }
}

// sums[rows, 16 * panels] of one tile over all of k.
void MultiplyTile(const HalfMultiplier& multiplier, const uint16_t* a, const PanelMatrix& b, int64_t panel, int64_t rows,
                  int64_t panels, int64_t k, float* sums) {
  HalfTile tile;
  tile.a = a;
  tile.panel_stride = b.k * kPanelColumns;
  tile.b = static_cast<const uint16_t*>(b.data) + panel * tile.panel_stride;
  tile.sums = sums;
  tile.stride = kSumColumns;
  for (int64_t k0 = 0; k0 < k; k0 += kHalfBlockK) {
    tile.k = std::min(k - k0, kHalfBlockK);
    tile.adds = k0 != 0;
    multiplier.multiply(tile, rows, panels);
    tile.a += multiplier.block_halves;
    tile.b += kHalfBlockK * kPanelColumns;
  }
  if (k == 0) std::fill(sums, sums + rows * kSumColumns, 0.0F);
}

}  // namespace

const HalfMultiplier* HalfMultiplierFor([[maybe_unused]] Isa isa) {
#if defined(WHERRY_ISA_AVX512FP16)
  if (isa >= Isa::kAvx512Fp16) return &HalfMultiplierAvx512();
#endif
#if defined(WHERRY_ISA_FP16)
  if (isa >= Isa::kFp16) return &HalfMultiplierNeon();
#endif
  return nullptr;
}

bool MultipliesHalves(Isa isa) { return HalfMultiplierFor(isa) != nullptr; }

GemmPlan PlanHalfGemm(int64_t m, int64_t k, int64_t n, Isa isa, int threads) {
  GemmPlan plan = PlanGemm(m, k, 0, n, true, isa, threads);
  const HalfMultiplier& multiplier = *HalfMultiplierFor(isa);
  plan.scratch_bytes = kSumBytes + kStagedBytes +
                       2 * static_cast<size_t>(TilesAtOnce(multiplier, m, k) * PackedTileHalves(multiplier, k));
  return plan;
}

void RunHalfGemmTask(const GemmPlan& plan, const RowSource& a, float limit, const PanelMatrix& b,
                     const Epilogue& epilogue, float* c, int64_t ldc, int64_t task, std::byte* scratch) {
  const HalfMultiplier& multiplier = *HalfMultiplierFor(plan.isa);
  float* const sums = reinterpret_cast<float*>(scratch);
  float* const staged = reinterpret_cast<float*>(scratch + kSumBytes);
  uint16_t* const packed = reinterpret_cast<uint16_t*>(scratch + kSumBytes + kStagedBytes);
  const auto finish = WHERRY_SELECT(plan.isa, FinishHalfTile);
  const Range rows = Part(plan.m, multiplier.rows, task / plan.column_parts, plan.row_parts);
  const Range panels = Part(b.panels(), multiplier.panels, task % plan.column_parts, plan.column_parts);
  const int64_t tiles = (rows.end - rows.begin + multiplier.rows - 1) / multiplier.rows;
  const int64_t at_once = TilesAtOnce(multiplier, plan.m, plan.k);
  const int64_t tile_halves = PackedTileHalves(multiplier, plan.k);
  const auto tile_row = [&](int64_t t) { return rows.begin + (rows.end - rows.begin) * t / tiles; };
  for (int64_t t0 = 0; t0 < tiles; t0 += at_once) {
    const int64_t t1 = std::min(tiles, t0 + at_once);
    for (int64_t t = t0; t < t1; ++t) {
      PackTile(multiplier, a, tile_row(t), tile_row(t + 1) - tile_row(t), plan.k, limit, staged,
               packed + (t - t0) * tile_halves);
    }
    int64_t width = multiplier.panels;
    for (int64_t panel = panels.begin; panel < panels.end; panel += width) {
      while (width > panels.end - panel) width /= 2;
      const int64_t column = panel * kPanelColumns;
      const int64_t columns = std::min(width * kPanelColumns, plan.column_end - column);
      for (int64_t t = t0; t < t1; ++t) {
        const int64_t row = tile_row(t);
        const int64_t count = tile_row(t + 1) - row;
        float* const to = c + row * ldc + column;
        const float* const residual = epilogue.residual != nullptr ? epilogue.residual + row * ldc + column : nullptr;
        if (residual != nullptr) {  // on its way while the tile multiplies
          for (int64_t r = 0; r < count; ++r) {
            for (int64_t i = 0; i < columns; i += kPanelColumns) __builtin_prefetch(residual + r * ldc + i);
          }
        }
        MultiplyTile(multiplier, packed + (t - t0) * tile_halves, b, panel, count, width, plan.k, sums);
        finish(sums, kSumColumns, count, columns, epilogue.bias != nullptr ? epilogue.bias + column : nullptr,
               residual, epilogue.activation, to, ldc);
        if (epilogue.activation > Activation::kRelu6) {
          Activate(epilogue.activation, epilogue.alpha, {to, to, ldc, count, columns}, plan.isa);
        }
      }
    }
  }
}

}  // namespace wherry::math
#endif  // HWY_ONCE
