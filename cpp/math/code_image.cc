#include "math/code_image.h"

#include <algorithm>
#include <cstring>

#include "math/qgemm_multiply.h"

namespace wherry::math {

bool CodeImage::Fits(Isa isa) const {
  const auto plain = [](const WindowAxis& axis) { return axis.stride == 1 && axis.in > 0 && axis.out > 0; };
  constexpr int64_t kLimit = int64_t{1} << 30;  // of bytes: steps are int32
  constexpr int64_t kMostPadded = 3;            // times the image: dilated filters may have more padding than image
  return plain(window.h) && plain(window.w) && channels % kCodeRowBytes == 0 &&
         window.h.filter * window.w.filter * (channels / kCodeRowBytes) <= kMostSteps && rows_of_line() % 16 == 0 &&
         lines() < kLimit && line_bytes() < kLimit && image_bytes() < kLimit &&
         image_bytes() <= kMostPadded * window.h.in * window.w.in * pixel_bytes() && CodeMultiplierFor(isa, 16).reads_images;
}

void CodeImage::FindSteps(int32_t* steps) const {
  for (int64_t y = 0; y < window.h.filter; ++y) {
    for (int64_t x = 0; x < window.w.filter; ++x) {
      const int64_t pixel = y * window.h.dilation * line_bytes() + x * window.w.dilation * pixel_bytes();
      for (int64_t c = 0; c < channels; c += kCodeRowBytes) *steps++ = static_cast<int32_t>(pixel + c);
    }
  }
}

void CodeImage::FillPadding(int64_t pixels, int32_t zero, uint8_t* to) const {
  if (planes == 1 || zero == 0) {
    std::memset(to, zero, static_cast<size_t>(pixels * pixel_bytes()));
    return;
  }
  for (; pixels > 0; --pixels, to += pixel_bytes()) {
    std::memset(to, zero >> 8, static_cast<size_t>(channels));
    std::memset(to + channels, zero & 255, static_cast<size_t>(channels));
  }
}

void CodeImage::Quantize(const float* values, int64_t first, int64_t count, CodeScale scale, uint8_t* to, Isa isa) const {
  const auto& [h, w] = window;
  const int64_t line_pixels = w.before + w.in + w.after;
  if (first == 0) FillPadding(h.before * line_pixels, scale.zero, to);
  if (first + count == h.in * w.in) {
    FillPadding(h.after * line_pixels, scale.zero, to + (h.before + h.in) * line_bytes());
  }
  for (int64_t y = first / w.in, x = first % w.in; count > 0; ++y, x = 0) {
    uint8_t* const line = to + (h.before + y) * line_bytes();
    const int64_t some = std::min(count, w.in - x);
    if (x == 0) FillPadding(w.before, scale.zero, line);
    QuantizePixels(values, some, channels, scale, planes, line + (w.before + x) * pixel_bytes(), isa);
    if (x + some == w.in) FillPadding(w.after, scale.zero, line + (w.before + w.in) * pixel_bytes());
    values += some * channels;
    count -= some;
  }
}

}  // namespace wherry::math
