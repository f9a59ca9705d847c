// IEEE half to float32, exactly.
#include "math/panels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/panels_f16.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void DequantizeFloat16(const PanelMatrix& b, int64_t panel, int64_t k0, int64_t k1, float* HWY_RESTRICT out) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<hwy::float16_t, decltype(d)> d16;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(d));
  const hwy::float16_t* HWY_RESTRICT halves =
      static_cast<const hwy::float16_t*>(b.data) + (panel * b.k + k0) * kPanelColumns;
  const int64_t count = (k1 - k0) * kPanelColumns;
  for (int64_t i = 0; i < count; i += kLanes) hn::Store(hn::PromoteTo(d, hn::LoadU(d16, halves + i)), d, out + i);
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

DequantizePanel Float16Panels(Isa isa) { return WHERRY_SELECT(isa, DequantizeFloat16); }

}  // namespace wherry::math
#endif  // HWY_ONCE
