// C[m, n] = activation(A[m, k] x B[k, n] + bias[n] + residual[m, n]) where A and B are 8-bit codes and the sums of
// products are whole numbers, exact. A's codes are unsigned and have a zero point; B's are signed, one scale a column:
//
//   C = activation(scale_a * scale_b[n] * (sum over k of a[m, k] * b[k, n] - zero_a * sum over k of b[k, n]) + bias[n] ...)
//
// Where that rounds activations too much, A has codes of 16 bits: two rows of bytes, the high ones and the low ones, which
// are multiplied as two rows and joined when C is written, so B is read no more than once. Where it rounds weights too
// much, B has too: two panels, of high and of low bytes, in the place of each.
//
// All instruction sets give the same bits, but for activations other than Relu and Relu6 (math/activation.h). The work is
// cut into tasks as in math/gemm.h.
#ifndef WHERRY_MATH_QGEMM_H_
#define WHERRY_MATH_QGEMM_H_

#include <cstddef>
#include <cstdint>

#include "math/code_elementwise.h"
#include "math/code_image.h"
#include "math/gemm.h"
#include "math/qgemm_multiply.h"
#include "math/quantize.h"

namespace wherry::math {

// The most rows of B for which no sum leaves int32: 255 * 127 * 65536 < 2^31.
inline constexpr int64_t kMaxCodeDepth = 65536;

// A code of B of 16 bits is kHighStep * high + low, both in -127 .. 127, as codes of 8 bits are: some multipliers hold two
// products in int16.
inline constexpr int kHighStep = 255;

// Signed 8-bit codes in quads (Layout::kQuads): [ceil(n / 16)][planes][ceil(k / 4)][16][4]. All pointers are borrowed.
struct QuadMatrix {
  const int8_t* codes = nullptr;
  int64_t k = 0;
  int64_t n = 0;
  const float* scale = nullptr;  // one per column, padded to a multiple of 16
  const float* sums = nullptr;   // of each column's codes, likewise; whole numbers. Plane after plane
  int planes = 1;                // of bytes: 2 for codes of 16 bits, kHighStep * high + low
  // A product takes groups of four rows from first_group on, CodeRows::groups of them. When it does not take all rows,
  // `sums` are of those that it takes.
  int64_t first_group = 0;

  int64_t groups() const { return (k + kQuad - 1) / kQuad; }
  int64_t padded() const { return (n + kPanelColumns - 1) / kPanelColumns * kPanelColumns; }
};

// Copies rows [row, row + rows) of A to out[r * stride], k codes each and zeros up to stride; two rows of bytes for each row
// of A where CodeRows::planes is 2. `source` is the caller's.
using CopyCodes = void (*)(const void* source, int64_t row, int64_t rows, uint8_t* out, int64_t stride);

// The left operand: codes in memory, rows made on the fly, or an image in place.
struct CodeRows {
  const uint8_t* codes = nullptr;
  const CodeImage* image = nullptr;  // that `codes` are, and its steps
  const int32_t* steps = nullptr;
  int64_t stride = 0;      // bytes from one row to the next
  CopyCodes copy = nullptr;
  const void* source = nullptr;
  int64_t groups = 0;      // quads in a row
  int planes = 1;          // rows of bytes for each row of A: 2 for codes of 16 bits, high bytes first
  // Row r is read with scales[r / rows_per_scale].
  const CodeScale* scales = nullptr;
  int64_t rows_per_scale = 1;
};

struct CodeGemmPlan {
  int64_t m = 0;           // rows of bytes
  int64_t groups = 0;
  int64_t n = 0;
  // The panels of B that are multiplied: all, unless the owner of the plan narrows it.
  int64_t panel_begin = 0;
  int64_t panel_end = 0;
  int64_t row_parts = 0;
  int64_t column_parts = 0;
  int64_t block_rows = 0;  // rows of bytes that a task holds at a time
  bool copies = false;     // rows are made, or do not lie as the multiplier wants them
  Isa isa = Isa::kPortable;
  int unit = 1;            // panels of B that make up 16 columns of C
  size_t scratch_bytes = 0;  // for each task that runs at the same time, aligned to 64

  int64_t tasks() const { return row_parts * column_parts; }
};

// Bytes of a row of k codes as the multipliers read it, behind `leading` zeros.
constexpr int64_t CodeRowBytes(int64_t k, int64_t leading = 0) {
  return (leading + k + kCodeRowBytes - 1) / kCodeRowBytes * kCodeRowBytes;
}

// Rows of a matrix that are written before they are multiplied (QuantizeRows) need so many rows of memory.
constexpr int64_t CodeRowsPadded(int64_t m) { return (m + 15) / 16 * 16; }

// Planes of bytes that the codes of A and of B consist of.
struct CodePlanes {
  int a = 1;
  int b = 1;
};

// m: rows of A. made: the rows come from CodeRows::copy. Others have a stride of CodeRowBytes and CodeRowsPadded(m * planes.a)
// rows of memory, or are an image. thrifty: tasks hold few rows that are made, and none needs a row of another one's.
// source: bytes that a plane of a row is made of, where patches overlap and that is fewer than k.
CodeGemmPlan PlanCodeGemm(int64_t m, int64_t k, int64_t n, CodePlanes planes, bool made, Isa isa, int threads,
                          bool thrifty = false, int64_t source = kMaxCodeDepth);

// Products of one row of codes with whole panels of B, a few at a time. What does not change from call to call is found
// before the first: a call takes a few hundred cycles. B has one plane.
class CodeRowProduct {
 public:
  // Each call takes `panels` panels, at most kCodeFewRowsPanels, that lie `step` panels apart. row and b are borrowed.
  CodeRowProduct(const CodeRows& row, const QuadMatrix& b, int64_t panels, int64_t step, Isa isa);
  // sums [planes][panels][16], aligned to 64 bytes, of the panels from `first` on.
  void Run(int64_t first, int32_t* sums) {
    block_.b = b_ + first * panel_bytes_;
    block_.sums = sums;
    multiply_(block_);
  }

 private:
  void (*multiply_)(const CodeBlock& block);
  const int8_t* b_;
  int64_t panel_bytes_;
  CodeBlock block_;
};

// Runs one task; C is float32. epilogue.accumulate adds to what C holds instead of the residual.
void RunCodeGemmTask(const CodeGemmPlan& plan, const CodeRows& a, const QuadMatrix& b, const Epilogue& epilogue, float* c,
                     int64_t ldc, int64_t task, std::byte* scratch);

// C as codes of a scale of its own, cut to the limits: round(value of C / out.scale) + out.zero, halves to even, where the
// value is as above, without an activation beyond the limits. All rows of A have one scale.
struct CodeResult {
  const float* bias = nullptr;  // [n], null for none
  const uint8_t* residual = nullptr;  // codes added to C before it is rounded, of C's shape, null for none; may be C
  CodeScale residual_scale;
  CodeScale scale;
  CodeLimits limits;
  uint8_t* c = nullptr;
  int64_t ldc = 0;
};

// Runs one task; C are codes, and B has one plane.
void RunCodeGemmTask(const CodeGemmPlan& plan, const CodeRows& a, const QuadMatrix& b, const CodeResult& result,
                     int64_t task, std::byte* scratch);

// Rows of codes that lie in memory, but not as multipliers want them.
struct PlainCodes {
  const uint8_t* codes = nullptr;
  int64_t k = 0;
  int64_t stride = 0;  // bytes from one row to the next
};

// A CopyCodes; source: a PlainCodes.
void CopyPlainCodes(const void* source, int64_t row, int64_t rows, uint8_t* out, int64_t stride);

}  // namespace wherry::math

#endif  // WHERRY_MATH_QGEMM_H_
