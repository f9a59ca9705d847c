// Images of codes that a product reads where they lie: patches of neighbouring outputs overlap, so as rows of a matrix they
// are nine times as many bytes for a 3x3 filter, which are written and no longer fit the first-level cache. A multiplier
// whose operand is a tile of 16 rows, a constant number of bytes apart, can take it from the image, if that has its padding
// around it and the 64 codes of a tile's row belong to one pixel.
#ifndef WHERRY_MATH_CODE_IMAGE_H_
#define WHERRY_MATH_CODE_IMAGE_H_

#include <cstdint>

#include "math/isa.h"
#include "math/quantize.h"
#include "math/window.h"

namespace wherry::math {

// The most tiles that a row of A consists of: kMaxCodeDepth of math/qgemm.h.
inline constexpr int64_t kMostSteps = 1024;

// Codes [batch][lines][pixels][planes][channels], padding included. A row of A is one plane of one output's patch; planes
// are as in CodeRows.
struct CodeImage {
  Window window;
  int64_t channels = 0;
  int planes = 1;

  int64_t pixel_bytes() const { return planes * channels; }
  int64_t line_bytes() const { return (window.w.before + window.w.in + window.w.after) * pixel_bytes(); }
  int64_t lines() const { return window.h.before + window.h.in + window.h.after; }
  int64_t image_bytes() const { return lines() * line_bytes(); }
  int64_t rows_of_line() const { return window.w.out * planes; }

  // Whether products of such an image on this instruction set can read it in place.
  bool Fits(Isa isa) const;

  // steps[i]: bytes from the first code of a row of A to its codes of k = 64 i.
  void FindSteps(int32_t* steps) const;

  // Bytes to the first code of a row of A, the first of a line or a multiple of 16 rows behind it.
  int64_t Offset(int64_t row) const {
    const int64_t line = row / rows_of_line();
    return line / window.h.out * image_bytes() + line % window.h.out * line_bytes() + row % rows_of_line() * channels;
  }

  // Makes codes of pixels [first, first + count) of an image of the batch without padding, and of the padding next to them.
  // to: where that image begins.
  void Quantize(const float* values, int64_t first, int64_t count, CodeScale scale, uint8_t* to, Isa isa) const;

 private:
  void FillPadding(int64_t pixels, int32_t zero, uint8_t* to) const;
};

}  // namespace wherry::math

#endif  // WHERRY_MATH_CODE_IMAGE_H_
