// Ordinary row-major matrices as operands of a product: nothing was laid out ahead of time.
#ifndef WHERRY_MATH_MATRIX_H_
#define WHERRY_MATH_MATRIX_H_

#include "math/gemm.h"

namespace wherry::math {

// A left operand that lies in memory as [k, m].
struct TransposedMatrix {
  const float* data = nullptr;
  int64_t m = 0;
};

// A CopyRows; source: a TransposedMatrix.
void CopyTransposed(const void* source, int64_t row, int64_t rows, int64_t k0, int64_t k1, float* out, int64_t stride);

// A right operand that lies in memory as [k, n], or as [n, k] when transposed. Its "dequantization" copies a block into
// panels, so plan the product with dequantizes = true.
PanelMatrix PanelsOfMatrix(const float* data, int64_t k, int64_t n, bool transposed);

}  // namespace wherry::math

#endif  // WHERRY_MATH_MATRIX_H_
