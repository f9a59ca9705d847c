// Symmetric 8-bit codes to float32: scale[column] * code.
#include "math/panels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/panels_i8.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void DequantizeInt8(const PanelMatrix& b, int64_t panel, int64_t k0, int64_t k1, float* HWY_RESTRICT out) {
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

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

DequantizePanel Int8Panels(Isa isa) { return WHERRY_SELECT(isa, DequantizeInt8); }

}  // namespace wherry::math
#endif  // HWY_ONCE
