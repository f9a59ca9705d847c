#include "math/matrix.h"

#include <algorithm>
#include <cstring>

namespace wherry::math {
namespace {

void CopyPanel(const PanelMatrix& b, int64_t panel, int64_t k0, int64_t k1, float* out) {
  const int64_t column = panel * kPanelColumns;
  const int64_t columns = std::min(kPanelColumns, b.n - column);
  const float* from = static_cast<const float*>(b.data) + k0 * b.n + column;
  if (columns == kPanelColumns) {
    for (int64_t k = k0; k < k1; ++k, from += b.n, out += kPanelColumns) {
      std::memcpy(out, from, sizeof(float) * static_cast<size_t>(kPanelColumns));
    }
    return;
  }
  for (int64_t k = k0; k < k1; ++k, from += b.n, out += kPanelColumns) {
    for (int64_t j = 0; j < kPanelColumns; ++j) out[j] = j < columns ? from[j] : 0.0F;
  }
}

void CopyTransposedPanel(const PanelMatrix& b, int64_t panel, int64_t k0, int64_t k1, float* out) {
  const int64_t column = panel * kPanelColumns;
  const int64_t columns = std::min(kPanelColumns, b.n - column);
  const float* from = static_cast<const float*>(b.data) + column * b.k;
  constexpr int64_t kBlock = 16;  // 16 rows of the output at a time: what is written stays in the cache
  for (int64_t start = k0; start < k1; start += kBlock) {
    const int64_t end = std::min(start + kBlock, k1);
    for (int64_t j = 0; j < kPanelColumns; ++j) {
      for (int64_t k = start; k < end; ++k) out[(k - k0) * kPanelColumns + j] = j < columns ? from[j * b.k + k] : 0.0F;
    }
  }
}

}  // namespace

void CopyTransposed(const void* source, int64_t row, int64_t rows, int64_t k0, int64_t k1, float* out, int64_t stride) {
  const TransposedMatrix& matrix = *static_cast<const TransposedMatrix*>(source);
  for (int64_t k = k0; k < k1; ++k) {
    const float* from = matrix.data + k * matrix.m + row;
    for (int64_t r = 0; r < rows; ++r) out[r * stride + (k - k0)] = from[r];
  }
}

PanelMatrix PanelsOfMatrix(const float* data, int64_t k, int64_t n, bool transposed) {
  PanelMatrix b;
  b.data = data;
  b.k = k;
  b.n = n;
  b.dequantize = transposed ? &CopyTransposedPanel : &CopyPanel;
  return b;
}

}  // namespace wherry::math
