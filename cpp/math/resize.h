// Rows of resized images. The arithmetic is in one order of float32 operations, so all instruction sets give the same bits.
#ifndef WHERRY_MATH_RESIZE_H_
#define WHERRY_MATH_RESIZE_H_

#include <cstdint>

#include "math/isa.h"

namespace wherry::math {

// Between which two pixels an output pixel lies along one axis, and how far it is from the first.
struct Blend {
  int64_t lower;
  int64_t upper;
  float fraction;
};

// Two rows of an image [columns, channels], and how far the output row is from the first.
template <typename T>
struct RowPair {
  const T* top = nullptr;
  const T* bottom = nullptr;
  int64_t columns = 0;
  float fraction = 0.0F;
};

// out[x, c], for `count` pixels x, mixes the four pixels of `rows` at columns[x].
void BlendRow(const RowPair<float>& rows, const Blend* columns, int64_t count, int64_t channels, float* out, Isa isa);
void BlendRow(const RowPair<uint8_t>& rows, const Blend* columns, int64_t count, int64_t channels, float* out, Isa isa);

// out[x] = the pixel of `bytes` bytes that lies columns[x] bytes behind `row`, for `count` pixels x.
void CopyPixels(const uint8_t* row, const int64_t* columns, int64_t count, int64_t bytes, uint8_t* out, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_RESIZE_H_
