// C[m, n] = activation(A[m, k] x B[k, n] + bias[n] + residual[m, n]) where A's float32 become halves, B's are halves, and
// the multiply-adds are made in half precision, carried to float32 after every kHalfFold of them (math/hgemm_multiply.h).
//
// Who makes B finds a `limit`: no sum of kHalfFold products of halves within [-limit, limit] by B's leaves a half's
// range. A is clamped to it, so that nothing finite becomes infinite; NaN passes.
//
// All instruction sets that multiply halves give the same bits, but for activations other than Relu and Relu6
// (math/activation.h). The work is cut into tasks as in math/gemm.h.
#ifndef WHERRY_MATH_HGEMM_H_
#define WHERRY_MATH_HGEMM_H_

#include <cstddef>
#include <cstdint>

#include "math/gemm.h"

namespace wherry::math {

inline constexpr float kLargestHalf = 65504.0F;

// Whether this instruction set has multiply-adds of halves; the calls below are for those that have.
bool MultipliesHalves(Isa isa);

// Sizes may be 0. Of GemmPlan the columns are all n.
GemmPlan PlanHalfGemm(int64_t m, int64_t k, int64_t n, Isa isa, int threads);

// Runs one task. b.data: halves; b.first_row is 0. The epilogue does not accumulate; its residual may be C itself. limit:
// above 0, at most kLargestHalf. scratch: plan.scratch_bytes.
void RunHalfGemmTask(const GemmPlan& plan, const RowSource& a, float limit, const PanelMatrix& b,
                     const Epilogue& epilogue, float* c, int64_t ldc, int64_t task, std::byte* scratch);

}  // namespace wherry::math

#endif  // WHERRY_MATH_HGEMM_H_
