// C[m, n] = activation(A[m, k] x B[k, n] + bias[n] + residual[m, n]) of float32, whose products are made in whole numbers of
// 16 bits, two to an instruction (VPMADDWD, VPDPWSSD): twice as fast as multiply-adds of floats, where depth is short.
//
//   A becomes round(a / step), cut to +- LargestShort(k); who has measured A says how large a step is.
//   B becomes round(b / scale[n]), within +- 32767 and so that no sum leaves int32, whatever A holds: a column's codes add up
//   to 2^31 / LargestShort(k) at most. Of 32 normal numbers the largest gets some 15000, of 144 some 7000.
//
// Sums are exact, so the error is that of the rounding alone. What becomes of a sum is a fixed order of float32 operations, so
// all CPUs that have such instructions give the same bits (but for activations other than Relu and Relu6), however the work
// is cut.
#ifndef WHERRY_MATH_SHORT_GEMM_H_
#define WHERRY_MATH_SHORT_GEMM_H_

#include <cstddef>
#include <cstdint>

#include "math/gemm.h"
#include "math/patches.h"

namespace wherry::math {

// Deeper products leave B too few bits, and larger ones take too much memory beside B as it is.
inline constexpr int64_t kMaxShortDepth = 256;
inline constexpr int64_t kMaxShortWeights = 65536;

// The largest code of A, which has the more bits the fewer a sum's products are.
constexpr int LargestShort(int64_t k) { return k <= 64 ? 16383 : 8191; }

// Whether products of shorts are faster than those of floats on this instruction set, and possible for a B of this size. The
// calls below are for those.
bool MultipliesShorts(Isa isa, int64_t k, int64_t n);

struct ShortGemmPlan {
  int64_t m = 0;
  int64_t k = 0;    // 1 .. kMaxShortDepth
  int64_t run = 0;  // of k that lie side by side where A is read, a divisor of k
  int64_t n = 0;
  int64_t parts = 0;  // of rows; each is a task
  Isa isa = Isa::kPortable;
  size_t scratch_bytes = 0;  // for each task that runs at the same time, aligned to 64. Never less for more rows

  int64_t tasks() const { return parts; }
};

// A: a matrix, or if `patches` is not null, those.
struct ShortRows {
  const float* data = nullptr;
  int64_t stride = 0;  // floats
  const Patches* patches = nullptr;
};

// patches: of the image that A is, but for its memory and its rows; null for a matrix. The whole depth of the image is read.
ShortGemmPlan PlanShortGemm(int64_t m, int64_t k, int64_t n, Isa isa, int threads, const Patches* patches);

// B in whole numbers, and what turns sums back: made once for all tasks, by MakeShortWeights, in ShortWeightBytes of memory
// that are aligned to 64. They fit all plans of one product, whatever m is.
struct ShortWeights {
  const int16_t* codes = nullptr;  // [ceil(n / 16)][k / run][ceil(run / 2)][16][2]
  const float* scale = nullptr;    // step * scale[n], padded to a multiple of 16
  const float* bias = nullptr;     // likewise; zeros where there is none
};

size_t ShortWeightBytes(const ShortGemmPlan& plan);

// b: float32 in panels, first_row 0. bias: [n] or null. step: of A, above 0.
ShortWeights MakeShortWeights(const ShortGemmPlan& plan, const PanelMatrix& b, const float* bias, float step,
                              std::byte* to);

// Runs one task. epilogue.bias is not looked at (the weights have it), and it does not accumulate; its residual may be C.
void RunShortGemmTask(const ShortGemmPlan& plan, const ShortRows& a, float step, const ShortWeights& b,
                      const Epilogue& epilogue, float* c, int64_t ldc, int64_t task, std::byte* scratch);

}  // namespace wherry::math

#endif  // WHERRY_MATH_SHORT_GEMM_H_
