// Weight matrices as packs store them (Layout::kPanels in runtime/tensor.h), and how their codes become float32.
#ifndef WHERRY_MATH_PANELS_H_
#define WHERRY_MATH_PANELS_H_

#include <cstddef>
#include <cstdint>

#include "math/isa.h"

namespace wherry::math {

inline constexpr int64_t kPanelColumns = 16;

struct PanelMatrix;

// Writes rows [k0, k1) of one panel as float32 [k1 - k0][16]; `out` is aligned to 64 bytes. Columns past n hold
// whatever the padding stands for.
using DequantizePanel = void (*)(const PanelMatrix& b, int64_t panel, int64_t k0, int64_t k1, float* out);

// A [k, n] matrix in panels: [ceil(n / 16)][k][16], 8-bit codes in quads. All pointers are borrowed.
struct PanelMatrix {
  const void* data = nullptr;
  int64_t k = 0;
  int64_t n = 0;
  const float* scale = nullptr;   // one per column, padded to a multiple of 16; int8 and minmax
  const float* offset = nullptr;  // likewise; minmax
  int bits = 0;                   // minmax: 2 to 16
  DequantizePanel dequantize = nullptr;  // null: data are float32
  // A product takes rows [first_row, first_row + GemmPlan::k): an LSTM keeps its input and recurrent weights in one
  // matrix. `dequantize` counts rows from 0.
  int64_t first_row = 0;

  int64_t panels() const { return (n + kPanelColumns - 1) / kPanelColumns; }
};

// Panels that lie apart, such as those of the same units of every gate: first, first + step, ...
struct PanelRun {
  int64_t first = 0;
  int64_t step = 1;
  int64_t count = 1;
};

// One function for each format, in a file of its own, so that a format nobody selected is not linked. float32 has none.
DequantizePanel Float16Panels(Isa isa);
DequantizePanel Int8Panels(Isa isa);  // in quads
DequantizePanel Int8Taps(Isa isa);    // in panels: a depthwise filter
DequantizePanel MinMaxPanels(Isa isa);

// Bytes of a panel row of 16 codes of so many bits: 2 * bits.
constexpr int64_t PanelRowBytes(int bits) { return bits * (kPanelColumns / 8); }

}  // namespace wherry::math

#endif  // WHERRY_MATH_PANELS_H_
