// GRU: what GRUBlockCell and GRUSequence share.
#ifndef WHERRY_KERNELS_RNN_GRU_H_
#define WHERRY_KERNELS_RNN_GRU_H_

#include <cstddef>
#include <cstdint>

#include "kernels/panels.h"
#include "math/activation.h"

namespace wherry::kernels {

inline constexpr int64_t kGruLimit = int64_t{1} << 28;  // each dimension is below, so that small products fit

inline bool GruHasShape(const Tensor& tensor, int64_t a, int64_t b) {
  return tensor.rank == 2 && tensor.dim(0) == a && tensor.dim(1) == b;
}
inline bool GruHasShape(const Tensor& tensor, int64_t a) { return tensor.rank == 1 && tensor.dim(0) == a; }

// A GRU has two weights, and a small one may have stayed float32 when the other was quantized: kernels take each in
// their own format or in float32.
inline WeightFormat GruFormat(const Tensor& weight, WeightFormat format) {
  return weight.quant.format == WeightFormat::kPlain ? WeightFormat::kPlain : format;
}
inline bool GruDequantizes(const Tensor& weight) { return weight.quant.format != WeightFormat::kPlain; }
inline math::PanelMatrix GruPanels(const Tensor& weight, int64_t k, int64_t n, math::DequantizePanel dequantize) {
  return PanelsOf(weight, k, n, GruDequantizes(weight) ? dequantize : nullptr);
}

// Bytes of so many floats, rounded up so that what follows begins on 64 bytes.
inline size_t GruBytes(int64_t floats) { return (static_cast<size_t>(floats) * sizeof(float) + 63) / 64 * 64; }

// h = z h + (1 - z) n, one row of `units`; in place.
inline void MixGru(const float* __restrict z, const float* __restrict n, float* __restrict h, int64_t units) {
  for (int64_t u = 0; u < units; ++u) h[u] = z[u] * h[u] + (1.0F - z[u]) * n[u];
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_RNN_GRU_H_
