#include "math/patches.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/patches.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using CopyTag = hn::CappedTag<float, 16>;

// Runs are short (a few pixels of a few channels), so they are copied in line.
HWY_INLINE void CopyRun(const float* HWY_RESTRICT from, int64_t count, float* HWY_RESTRICT to) {
  const CopyTag d;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(d));
  if (count < kLanes) {
    for (int64_t i = 0; i < count; ++i) to[i] = from[i];
    return;
  }
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
  if (i < count) hn::StoreU(hn::LoadU(d, from + count - kLanes), d, to + count - kLanes);
}

HWY_INLINE void ZeroRun(int64_t count, float* HWY_RESTRICT to) {
  for (int64_t i = 0; i < count; ++i) to[i] = 0.0F;
}

// Columns [k0, k1) of one image row's part of a patch, counted from that part's start. pixels: image row, or null when
// it lies outside; x: image column of the part's first pixel.
HWY_INLINE void CopyPart(const Patches& p, const float* pixels, int64_t x, int64_t k0, int64_t k1, float* out) {
  if (pixels == nullptr) {
    ZeroRun(k1 - k0, out);
    return;
  }
  if (p.dilation_w == 1 && p.channels == p.pixel) {  // the part is one run of memory
    const int64_t inside_begin = std::clamp(-x * p.channels, k0, k1);
    const int64_t inside_end = std::clamp((p.in_w - x) * p.channels, inside_begin, k1);
    ZeroRun(inside_begin - k0, out);
    CopyRun(pixels + x * p.channels + inside_begin, inside_end - inside_begin, out + inside_begin - k0);
    ZeroRun(k1 - inside_end, out + inside_end - k0);
    return;
  }
  int64_t kx = k0 / p.channels;
  int64_t c = k0 % p.channels;
  for (int64_t k = k0; k < k1; ++kx, c = 0) {
    const int64_t count = std::min(p.channels - c, k1 - k);
    const int64_t column = x + kx * p.dilation_w;
    if (column < 0 || column >= p.in_w) {
      ZeroRun(count, out + k - k0);
    } else {
      CopyRun(pixels + column * p.pixel + p.first_channel + c, count, out + k - k0);
    }
    k += count;
  }
}

void CopyPatches(const void* source, int64_t row, int64_t rows, int64_t k0, int64_t k1, float* out, int64_t stride) {
  const Patches& p = *static_cast<const Patches*>(source);
  const int64_t part = p.filter_w * p.channels;
  const int64_t first_part = k0 / std::max<int64_t>(part, 1);
  int64_t x = row % p.out_w;
  int64_t y = row / p.out_w % p.out_h;
  int64_t b = row / p.out_w / p.out_h;
  for (int64_t r = 0; r < rows; ++r, out += stride) {
    float* to = out;
    int64_t ky = first_part;
    for (int64_t k = k0; k < k1; ++ky) {
      const int64_t end = std::min((ky + 1) * part, k1);
      const int64_t line = y * p.stride_h - p.top + ky * p.dilation_h;
      const bool inside = line >= 0 && line < p.in_h;
      const float* pixels = inside ? p.image + (b * p.in_h + line) * p.in_w * p.pixel : nullptr;
      CopyPart(p, pixels, x * p.stride_w - p.left, k - ky * part, end - ky * part, to);
      to += end - k;
      k = end;
    }
    if (++x == p.out_w) {
      x = 0;
      if (++y == p.out_h) {
        y = 0;
        ++b;
      }
    }
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

CopyRows PatchCopier(Isa isa) { return WHERRY_SELECT(isa, CopyPatches); }

}  // namespace wherry::math
#endif  // HWY_ONCE
