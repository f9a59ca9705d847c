// The second half of a transposed convolution: products of every input pixel with every tap of the filter are summed into
// the output pixels that they fall on.
#ifndef WHERRY_MATH_SCATTER_H_
#define WHERRY_MATH_SCATTER_H_

#include <cstdint>

#include "math/gemm.h"
#include "math/isa.h"

namespace wherry::math {

// Input pixel (y, x) and tap (ky, kx) meet at output pixel (y * stride_h - top + ky * dilation_h, likewise x).
struct Scatter {
  const float* products = nullptr;  // [input rows from first_row on][in_w][filter_h * filter_w][channels]
  int64_t first_row = 0;
  int64_t in_h = 0;
  int64_t in_w = 0;
  float* out = nullptr;             // one image: [out_h, out_w, channels]
  int64_t out_w = 0;
  int64_t channels = 0;
  int64_t filter_h = 1;
  int64_t filter_w = 1;
  int64_t stride_h = 1;
  int64_t stride_w = 1;
  int64_t dilation_h = 1;
  int64_t dilation_w = 1;
  int64_t top = 0;
  int64_t left = 0;
  Epilogue epilogue;
};

// Sums output row y. All input rows that reach it must be in `products`. Every sum runs over rising ky, then kx.
void SumScatteredRow(const Scatter& scatter, int64_t y, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_SCATTER_H_
