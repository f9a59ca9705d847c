// Patches of an image of codes. Rows of a product of codes are taken whole, so a patch is written in one go.
#include <algorithm>
#include <cstring>

#include "math/patches.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/patches_codes.cc"
#include "hwy/foreach_target.h"
#include "math/copy-inl.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

inline constexpr int64_t kShortLine = 64;

HWY_INLINE void FillBytes(uint8_t value, int64_t count, uint8_t* to) {
  if (count > 0) std::memset(to, value, static_cast<size_t>(count));
}

// Whole groups of 16 bytes: up to 15 more are read and written.
HWY_INLINE void CopyGroups(const uint8_t* from, int64_t count, uint8_t* to) {
  for (int64_t i = 0; i < count; i += 16) std::memcpy(to + i, from + i, 16);
}

// One image row's part of a patch. pixels: that image row, or null when it lies outside; x: column of the first pixel.
HWY_INLINE void CopyLine(const Patches& p, const uint8_t* pixels, int64_t x, uint8_t outside, uint8_t* out) {
  const auto& [h, w] = p.window;
  const int64_t count = w.filter * p.channels;
  if (pixels == nullptr) return FillBytes(outside, count, out);
  if (w.dilation == 1) {
    const int64_t begin = std::clamp<int64_t>(-x, 0, w.filter) * p.channels;
    const int64_t end = std::clamp<int64_t>((w.in - x) * p.channels, begin, count);
    FillBytes(outside, begin, out);
    CopyBytes(pixels + x * p.channels + begin, end - begin, out + begin);
    return FillBytes(outside, count - end, out + end);
  }
  for (int64_t kx = 0; kx < w.filter; ++kx, out += p.channels) {
    const int64_t column = x + kx * w.dilation;
    if (column < 0 || column >= w.in) {
      FillBytes(outside, p.channels, out);
    } else {
      CopyBytes(pixels + column * p.channels, p.channels, out);
    }
  }
}

// The patch of one output, whose pixels begin at image row `top`, image column `left`; then zeros up to `stride` bytes.
HWY_INLINE void CopyPatch(const Patches& p, const uint8_t* image, int64_t top, int64_t left, uint8_t outside,
                          uint8_t* out, int64_t stride) {
  const auto& [h, w] = p.window;
  const int64_t line_bytes = w.filter * p.channels;
  uint8_t* to = out;
  int64_t ky = 0;
  if (w.dilation == 1 && line_bytes < kShortLine && left >= 0 && left + w.filter <= w.in && top >= 0 &&
      top + (h.filter - 1) * h.dilation < h.in) {
    // Short lines inside of the image: what is written past the end of one is written again by the next, and what is
    // read belongs to the next line of the image. The last ones are left to the loop below.
    const uint8_t* from = image + (top * w.in + left) * p.channels;
    const int64_t step = h.dilation * w.in * p.channels;
    const int64_t whole = step >= 16 ? h.filter - 1 : 0;
    const uint8_t* const last = out + stride - (line_bytes + 15) / 16 * 16;
    for (; ky < whole && to <= last; ++ky, from += step, to += line_bytes) CopyGroups(from, line_bytes, to);
  }
  for (; ky < h.filter; ++ky, to += line_bytes) {
    const int64_t line = top + ky * h.dilation;
    const bool inside = line >= 0 && line < h.in;
    CopyLine(p, inside ? image + line * w.in * p.channels : nullptr, left, outside, to);
  }
  FillBytes(0, out + stride - to, to);
}

void CopyPatchesOfCodes(const void* source, int64_t row, int64_t rows, uint8_t* out, int64_t stride) {
  const CodePatches& codes = *static_cast<const CodePatches*>(source);
  const Patches& p = codes.patches;
  ForOutputRuns(p.window, row, rows, [&](int64_t b, int64_t y, int64_t x, int64_t count) HWY_ATTR {
    const auto& [h, w] = p.window;
    const int64_t image = b * h.in * w.in * p.channels;
    const int32_t zero = codes.scales[b * codes.scale_step].zero;
    const uint8_t outside = static_cast<uint8_t>(codes.low == nullptr ? zero : zero >> 8);
    const int64_t top = y * h.stride - h.before;
    int64_t left = x * w.stride - w.before;
    for (int64_t i = 0; i < count; ++i, left += w.stride, out += stride) {
      CopyPatch(p, codes.codes + image, top, left, outside, out, stride);
      if (codes.low == nullptr) continue;
      out += stride;
      CopyPatch(p, codes.low + image, top, left, static_cast<uint8_t>(zero & 255), out, stride);
    }
  });
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

CopyCodes CodePatchCopier(Isa isa) { return WHERRY_SELECT(isa, CopyPatchesOfCodes); }

}  // namespace wherry::math
#endif  // HWY_ONCE
