#include "math/patches.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/patches.cc"
#include "hwy/foreach_target.h"
#include "math/copy-inl.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

HWY_INLINE void ZeroRun(int64_t count, float* HWY_RESTRICT to) {
  for (int64_t i = 0; i < count; ++i) to[i] = 0.0F;
}

// Columns [k0, k1) of one image row's part of a patch, counted from that part's start. pixels: image row, or null when
// it lies outside; x: image column of the part's first pixel.
HWY_INLINE void CopyPart(const Patches& p, const float* pixels, int64_t x, int64_t k0, int64_t k1, float* out) {
  const auto& [h, w] = p.window;
  if (pixels == nullptr) {
    ZeroRun(k1 - k0, out);
    return;
  }
  if (w.dilation == 1 && p.channels == p.pixel) {  // the part is one run of memory
    const int64_t inside_begin = std::clamp(-x * p.channels, k0, k1);
    const int64_t inside_end = std::clamp((w.in - x) * p.channels, inside_begin, k1);
    ZeroRun(inside_begin - k0, out);
    CopyRun(pixels + x * p.channels + inside_begin, inside_end - inside_begin, out + inside_begin - k0);
    ZeroRun(k1 - inside_end, out + inside_end - k0);
    return;
  }
  int64_t kx = k0 / p.channels;
  int64_t c = k0 % p.channels;
  for (int64_t k = k0; k < k1; ++kx, c = 0) {
    const int64_t count = std::min(p.channels - c, k1 - k);
    const int64_t column = x + kx * w.dilation;
    if (column < 0 || column >= w.in) {
      ZeroRun(count, out + k - k0);
    } else {
      CopyRun(pixels + column * p.pixel + p.first_channel + c, count, out + k - k0);
    }
    k += count;
  }
}

// Columns [k0, k1) of the patches of `count` neighbouring outputs in one row of the output, whose first patch begins
// at image row `line`, image column `x`.
void CopyNeighbours(const Patches& p, const float* image, int64_t line, int64_t x, int64_t count, int64_t k0,
                    int64_t k1, float* out, int64_t stride) {
  const auto& [h, w] = p.window;
  const int64_t part = w.filter * p.channels;
  const bool one_run = w.dilation == 1 && p.channels == p.pixel;
  // Patches [begin, end) lie inside the image, seen from left to right.
  const int64_t begin = x >= 0 ? 0 : std::min((-x + w.stride - 1) / w.stride, count);
  const int64_t room = w.in - w.filter - x;
  const int64_t end = room < 0 ? begin : std::clamp(room / w.stride + 1, begin, count);
  int64_t ky = k0 / std::max<int64_t>(part, 1);
  for (int64_t k = k0; k < k1; ++ky) {
    const int64_t stop = std::min((ky + 1) * part, k1);
    const int64_t row = line + ky * h.dilation;
    const float* pixels = row >= 0 && row < h.in ? image + row * w.in * p.pixel : nullptr;
    float* to = out + k - k0;
    int64_t i = 0;
    if (one_run && pixels != nullptr) {
      for (; i < begin; ++i) CopyPart(p, pixels, x + i * w.stride, k - ky * part, stop - ky * part, to + i * stride);
      const float* from = pixels + x * p.channels + k - ky * part;
      const int64_t step = w.stride * p.channels;
      for (; i < end; ++i) CopyRun(from + i * step, stop - k, to + i * stride);
    }
    for (; i < count; ++i) CopyPart(p, pixels, x + i * w.stride, k - ky * part, stop - ky * part, to + i * stride);
    k = stop;
  }
}

void CopyPatches(const void* source, int64_t row, int64_t rows, int64_t k0, int64_t k1, float* out, int64_t stride) {
  const Patches& p = *static_cast<const Patches*>(source);
  ForOutputRuns(p.window, row, rows, [&](int64_t b, int64_t y, int64_t x, int64_t count) HWY_ATTR {
    const auto& [h, w] = p.window;
    CopyNeighbours(p, p.image + b * h.in * w.in * p.pixel, y * h.stride - h.before, x * w.stride - w.before, count, k0,
                   k1, out, stride);
    out += count * stride;
  });
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

CopyRows PatchCopier(Isa isa) { return WHERRY_SELECT(isa, CopyPatches); }

}  // namespace wherry::math
#endif  // HWY_ONCE
