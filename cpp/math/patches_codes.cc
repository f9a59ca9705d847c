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

namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int64_t kBeyond = 64;  // bytes that whole vectors may read and write behind what they copy

HWY_INLINE void FillBytes(uint8_t value, int64_t count, uint8_t* to) {
  if (count > 0) std::memset(to, value, static_cast<size_t>(count));
}

template <size_t kVector>
HWY_INLINE void CopyVectors(const uint8_t* from, int64_t count, uint8_t* to) {
  const hn::CappedTag<uint8_t, kVector> d;
  for (int64_t i = 0; i < count; i += static_cast<int64_t>(hn::Lanes(d))) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
}

// A patch all of whose lines, `step` bytes apart, lie inside of the image, then zeros up to `stride` bytes. What is written
// past the end of a line is written again by the next, by the zeros, or by the next patch; up to kBeyond bytes more are read
// and written.
template <size_t kVector>
HWY_INLINE void CopyInside(const uint8_t* from, int64_t step, int64_t lines, int64_t line_bytes, uint8_t* out,
                           int64_t stride) {
  const hn::CappedTag<uint8_t, kVector> d;
  uint8_t* const end = out + stride;
  for (int64_t ky = 0; ky < lines; ++ky, from += step, out += line_bytes) CopyVectors<kVector>(from, line_bytes, out);
  for (; out < end; out += hn::Lanes(d)) hn::StoreU(hn::Zero(d), d, out);
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
  for (int64_t ky = 0; ky < h.filter; ++ky, to += line_bytes) {
    const int64_t line = top + ky * h.dilation;
    const bool inside = line >= 0 && line < h.in;
    CopyLine(p, inside ? image + line * w.in * p.channels : nullptr, left, outside, to);
  }
  FillBytes(0, out + stride - to, to);
}

void CopyPatchesOfCodes(const void* source, int64_t row, int64_t rows, uint8_t* out, int64_t stride) {
  const CodePatches& codes = *static_cast<const CodePatches*>(source);
  const Patches& p = codes.patches;
  const auto& [h, w] = p.window;
  const int64_t image_bytes = h.in * w.in * p.channels;
  const int64_t line_bytes = w.filter * p.channels;
  const int64_t step = h.dilation * w.in * p.channels;
  // Patches that begin up to here in an image, and are written up to there, may be copied by whole vectors.
  const int64_t last_from = image_bytes - (h.filter - 1) * step - line_bytes - kBeyond;
  const uint8_t* const last_out = out + (rows * (codes.low == nullptr ? 1 : 2) - 1) * stride - kBeyond;
  ForOutputRuns(p.window, row, rows, [&](int64_t b, int64_t y, int64_t x, int64_t count) HWY_ATTR {
    const int32_t zero = codes.scales[b * codes.scale_step].zero;
    const int64_t top = y * h.stride - h.before;
    const bool inside = w.dilation == 1 && top >= 0 && top + (h.filter - 1) * h.dilation < h.in;
    const int64_t last_left = inside ? w.in - w.filter : -1;
    int64_t left = x * w.stride - w.before;
    const auto copy = [&](const uint8_t* image, uint8_t outside) HWY_ATTR {
      const int64_t from = (top * w.in + left) * p.channels;
      if (left < 0 || left > last_left || from > last_from || out > last_out) {
        CopyPatch(p, image, top, left, outside, out, stride);
      } else if (line_bytes <= 32) {
        CopyInside<32>(image + from, step, h.filter, line_bytes, out, stride);
      } else {
        CopyInside<64>(image + from, step, h.filter, line_bytes, out, stride);
      }
      out += stride;
    };
    for (int64_t i = 0; i < count; ++i, left += w.stride) {
      copy(codes.codes + b * image_bytes, static_cast<uint8_t>(codes.low == nullptr ? zero : zero >> 8));
      if (codes.low != nullptr) copy(codes.low + b * image_bytes, static_cast<uint8_t>(zero & 255));
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
