// Symmetric 8-bit codes to float32: scale[column] * code.
#include "math/panels.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/panels_i8.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void DequantizeTaps(const PanelMatrix& b, int64_t panel, int64_t k0, int64_t k1, float* HWY_RESTRICT out) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int32_t, decltype(d)> d32;
  const hn::Rebind<int8_t, decltype(d)> d8;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(d));
  const int8_t* HWY_RESTRICT codes = static_cast<const int8_t*>(b.data) + (panel * b.k + k0) * kPanelColumns;
  const float* scale = b.scale + panel * kPanelColumns;
  hn::Vec<decltype(d)> scales[kPanelColumns / kLanes];
  for (int v = 0; v < kPanelColumns / kLanes; ++v) scales[v] = hn::LoadU(d, scale + v * kLanes);
  for (int64_t k = k0; k < k1; ++k) {
    HWY_UNROLL(16)
    for (int v = 0; v < kPanelColumns / kLanes; ++v) {
      const auto code = hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(d8, codes + v * kLanes)));
      hn::Store(hn::Mul(code, scales[v]), d, out + v * kLanes);
    }
    codes += kPanelColumns;
    out += kPanelColumns;
  }
}

// Quads: the four codes of a column lie in one word, the lowest first.
void DequantizeQuads(const PanelMatrix& b, int64_t panel, int64_t k0, int64_t k1, float* HWY_RESTRICT out) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int32_t, decltype(d)> d32;
  const hn::Repartition<int8_t, decltype(d)> d8;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(d));
  constexpr int kVectors = static_cast<int>(kPanelColumns) / kLanes;
  const int64_t groups = (b.k + 3) / 4;
  const int8_t* HWY_RESTRICT codes = static_cast<const int8_t*>(b.data) + (panel * groups + k0 / 4) * 4 * kPanelColumns;
  const float* scale = b.scale + panel * kPanelColumns;
  for (int64_t k = k0; k < k1; codes += 4 * kPanelColumns) {
    const int64_t first = k % 4;
    const int64_t last = std::min<int64_t>(4, first + k1 - k);
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) {
      const auto scales = hn::LoadU(d, scale + v * kLanes);
      const auto quads = hn::BitCast(d32, hn::LoadU(d8, codes + v * kLanes * 4));
      const auto store = [&](auto code, int64_t j) {
        hn::Store(hn::Mul(hn::ConvertTo(d, code), scales), d, out + (j - first) * kPanelColumns + v * kLanes);
      };
      if (first == 0 && last == 4) {
        store(hn::ShiftRight<24>(hn::ShiftLeft<24>(quads)), 0);
        store(hn::ShiftRight<24>(hn::ShiftLeft<16>(quads)), 1);
        store(hn::ShiftRight<24>(hn::ShiftLeft<8>(quads)), 2);
        store(hn::ShiftRight<24>(quads), 3);
      } else {
        for (int64_t j = first; j < last; ++j) {
          store(hn::ShiftRight<24>(hn::ShiftLeftSame(quads, static_cast<int>(24 - 8 * j))), j);
        }
      }
    }
    out += (last - first) * kPanelColumns;
    k += last - first;
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

DequantizePanel Int8Panels(Isa isa) { return WHERRY_SELECT(isa, DequantizeQuads); }
DequantizePanel Int8Taps(Isa isa) { return WHERRY_SELECT(isa, DequantizeTaps); }

}  // namespace wherry::math
#endif  // HWY_ONCE
