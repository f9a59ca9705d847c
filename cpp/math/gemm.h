// C[m, n] = activation(A[m, k] x B[k, n] + bias[n] + residual[m, n]) in float32, B in panels of any weight format.
//
// The work is cut into tasks that any threads may run in any order; each task writes a part of C of its own.
// Every element of C is one chain of multiply-adds over rising k, so its bits depend neither on how the work is cut
// nor on the number of threads, only on the instruction set.
//
// Use: plan once (in Prepare: it says how much scratch memory a task needs), then run tasks 0 .. tasks - 1.
#ifndef WHERRY_MATH_GEMM_H_
#define WHERRY_MATH_GEMM_H_

#include <cstddef>
#include <cstdint>

#include "math/activation.h"
#include "math/isa.h"
#include "math/panels.h"

namespace wherry::math {

// Copies columns [k0, k1) of rows [row, row + rows) of A to out[r * stride + (k - k0)]. `source` is the caller's.
using CopyRows = void (*)(const void* source, int64_t row, int64_t rows, int64_t k0, int64_t k1, float* out,
                          int64_t stride);

// The left operand: a matrix in memory, or rows made on the fly (patches of an image).
struct RowSource {
  const float* data = nullptr;  // row-major; used when copy is null
  int64_t stride = 0;           // floats from one row to the next
  CopyRows copy = nullptr;
  const void* source = nullptr;

  static RowSource Matrix(const float* data, int64_t stride) { return {data, stride, nullptr, nullptr}; }
  static RowSource Made(CopyRows copy, const void* source) { return {nullptr, 0, copy, source}; }
};

// What happens to a sum before it is stored.
struct Epilogue {
  const float* bias = nullptr;  // one per column of B, need not be padded; null for none
  // Added after the bias, before the activation; laid out like C; null for none. It may be C itself (the plan must
  // know then that there is a residual), but nothing else that overlaps C.
  const float* residual = nullptr;
  Activation activation = Activation::kNone;
  float alpha = 0.0F;           // of LeakyRelu
  bool accumulate = false;      // start from what C holds instead of 0
};

// How one product is cut. Plain data: fits in a kernel's params.
struct GemmPlan {
  int64_t m = 0;
  int64_t k = 0;             // rows of B that take part, from B's first_row on
  int64_t column_begin = 0;  // the columns of B and C that are computed; begin need not be a multiple of 16
  int64_t column_end = 0;
  int64_t row_parts = 0;
  int64_t column_parts = 0;
  Isa isa = Isa::kPortable;
  bool dequantizes = false;
  // A task goes through B from its last column to its first. Who multiplies by the same B again and again turns round
  // each time: what the cache still holds of the time before is then used before it is pushed out.
  bool falling = false;
  // For each task that runs at the same time, aligned to 64. Never less for more rows, columns or depth.
  size_t scratch_bytes = 0;

  int64_t tasks() const { return row_parts * column_parts; }
};

// Sizes may be 0 (k = 0 gives activation(bias)). threads is how many may run tasks at once. adds_residual: the epilogue
// may have a residual.
GemmPlan PlanGemm(int64_t m, int64_t k, int64_t column_begin, int64_t column_end, bool dequantizes, Isa isa,
                  int threads, bool adds_residual = false);

// Whether a product of these sizes takes longer than getting a second thread to help.
bool PaysToSplit(int64_t m, int64_t k, int64_t n);

inline constexpr int64_t kRowProductDepth = 64;  // rows of B that become float32 at a time

constexpr size_t AddRowScratchBytes(int64_t panels) {
  return sizeof(float) * static_cast<size_t>(panels * kRowProductDepth * kPanelColumns);
}

// Runs one task. c points at row 0, column 0 (not column_begin); ldc is in floats. scratch: plan.scratch_bytes.
void RunGemmTask(const GemmPlan& plan, const RowSource& a, const PanelMatrix& b, const Epilogue& epilogue, float* c,
                 int64_t ldc, int64_t task, std::byte* scratch);

// sums [panels.count][16] += a [k] x some whole panels of B, each sum in the order of a product's. For those who take a few
// panels at a time and go on with the sums at once. scratch: AddRowScratchBytes, where B is not float32.
void AddRowProduct(const float* a, int64_t k, const PanelMatrix& b, const PanelRun& panels, float* sums, Isa isa,
                   std::byte* scratch);

}  // namespace wherry::math

#endif  // WHERRY_MATH_GEMM_H_
