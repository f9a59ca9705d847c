// The second half of a transposed convolution: products of every input pixel with every tap of the filter are summed into
// the output pixels that they fall on.
#ifndef WHERRY_MATH_SCATTER_H_
#define WHERRY_MATH_SCATTER_H_

#include <cstdint>

#include "math/gemm.h"
#include "math/isa.h"
#include "math/window.h"

namespace wherry::math {

// Input pixel (y, x) and tap (ky, kx) meet at output pixel (y * h.stride - h.before + ky * h.dilation, likewise x).
struct Scatter {
  const float* products = nullptr;  // [input rows from first_row on][w.out][h.filter * w.filter][channels]
  int64_t first_row = 0;
  float* out = nullptr;             // one image: [h.in, w.in, channels]
  int64_t channels = 0;
  Window window;
  Epilogue epilogue;
};

// Sums output row y. All input rows that reach it must be in `products`. Every sum runs over rising ky, then kx.
void SumScatteredRow(const Scatter& scatter, int64_t y, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_SCATTER_H_
