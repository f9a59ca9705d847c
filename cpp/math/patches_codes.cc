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
  const int64_t count = p.filter_w * p.channels;
  if (pixels == nullptr) return FillBytes(outside, count, out);
  if (p.dilation_w == 1) {
    const int64_t begin = std::clamp<int64_t>(-x, 0, p.filter_w) * p.channels;
    const int64_t end = std::clamp<int64_t>((p.in_w - x) * p.channels, begin, count);
    FillBytes(outside, begin, out);
    CopyBytes(pixels + x * p.channels + begin, end - begin, out + begin);
    return FillBytes(outside, count - end, out + end);
  }
  for (int64_t kx = 0; kx < p.filter_w; ++kx, out += p.channels) {
    const int64_t column = x + kx * p.dilation_w;
    if (column < 0 || column >= p.in_w) {
      FillBytes(outside, p.channels, out);
    } else {
      CopyBytes(pixels + column * p.channels, p.channels, out);
    }
  }
}

void CopyPatchesOfCodes(const void* source, int64_t row, int64_t rows, uint8_t* out, int64_t stride) {
  const CodePatches& image = *static_cast<const CodePatches*>(source);
  const Patches& p = image.patches;
  const int64_t line_bytes = p.filter_w * p.channels;
  int64_t x = row % p.out_w;
  int64_t y = row / p.out_w % p.out_h;
  int64_t b = row / p.out_w / p.out_h;
  for (int64_t r = 0; r < rows; ++r, out += stride) {
    const uint8_t outside = static_cast<uint8_t>(image.scales[b * image.scale_step].zero);
    uint8_t* to = out;
    int64_t ky = 0;
    const int64_t left = x * p.stride_w - p.left;
    const int64_t top = y * p.stride_h - p.top;
    if (p.dilation_w == 1 && line_bytes < kShortLine && left >= 0 && left + p.filter_w <= p.in_w && top >= 0 &&
        top + (p.filter_h - 1) * p.dilation_h < p.in_h) {
      // Short lines inside of the image: what is written past the end of one is written again by the next, and what is
      // read belongs to the next line of the image. The last ones are left to the loop below.
      const uint8_t* from = image.codes + ((b * p.in_h + top) * p.in_w + left) * p.channels;
      const int64_t step = p.dilation_h * p.in_w * p.channels;
      const int64_t whole = step >= 16 ? p.filter_h - 1 : 0;
      const uint8_t* const last = out + stride - (line_bytes + 15) / 16 * 16;
      for (; ky < whole && to <= last; ++ky, from += step, to += line_bytes) CopyGroups(from, line_bytes, to);
    }
    for (; ky < p.filter_h; ++ky, to += line_bytes) {
      const int64_t line = top + ky * p.dilation_h;
      const bool inside = line >= 0 && line < p.in_h;
      const uint8_t* const pixels =
          inside ? image.codes + (b * p.in_h + line) * p.in_w * p.channels : nullptr;
      CopyLine(p, pixels, left, outside, to);
    }
    FillBytes(0, out + stride - to, to);
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

CopyCodes CodePatchCopier(Isa isa) { return WHERRY_SELECT(isa, CopyPatchesOfCodes); }

}  // namespace wherry::math
#endif  // HWY_ONCE
