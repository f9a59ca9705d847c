#include "math/scatter.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/scatter.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

// The input coordinate that meets tap k at `position`, or -1.
inline int64_t Source(int64_t position, int64_t k, int64_t dilation, int64_t stride, int64_t in) {
  const int64_t scaled = position - k * dilation;
  if (scaled < 0 || scaled % stride != 0) return -1;
  return scaled / stride < in ? scaled / stride : -1;
}

void SumRow(const Scatter& s, int64_t y, Isa isa) {
  const auto& [h, w] = s.window;
  const int64_t taps = h.filter * w.filter;
  float* row = s.out + y * w.in * s.channels;
  for (int64_t x = 0; x < w.in; ++x) {
    float* HWY_RESTRICT to = row + x * s.channels;
    for (int64_t c = 0; c < s.channels; ++c) to[c] = 0.0F;
    for (int64_t ky = 0; ky < h.filter; ++ky) {
      const int64_t from_y = Source(y + h.before, ky, h.dilation, h.stride, h.out);
      if (from_y < 0) continue;
      for (int64_t kx = 0; kx < w.filter; ++kx) {
        const int64_t from_x = Source(x + w.before, kx, w.dilation, w.stride, w.out);
        if (from_x < 0) continue;
        const float* HWY_RESTRICT from =
            s.products + (((from_y - s.first_row) * w.out + from_x) * taps + ky * w.filter + kx) * s.channels;
        for (int64_t c = 0; c < s.channels; ++c) to[c] += from[c];
      }
    }
    if (s.epilogue.bias != nullptr) {
      const float* HWY_RESTRICT bias = s.epilogue.bias;
      for (int64_t c = 0; c < s.channels; ++c) to[c] += bias[c];
    }
  }
  Activate(s.epilogue.activation, s.epilogue.alpha, row, w.in * s.channels, isa);
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

void SumScatteredRow(const Scatter& scatter, int64_t y, Isa isa) { WHERRY_SELECT(isa, SumRow)(scatter, y, isa); }

}  // namespace wherry::math
#endif  // HWY_ONCE
