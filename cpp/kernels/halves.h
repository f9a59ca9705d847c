// What kernels that multiply halves share: the limit of their activations, and running a product on the context's threads.
#ifndef WHERRY_KERNELS_HALVES_H_
#define WHERRY_KERNELS_HALVES_H_

#include "kernels/panels.h"
#include "math/hgemm.h"
#include "runtime/kernel.h"

namespace wherry::kernels {

// Reads the attribute half_limit: activations are clamped to [-limit, limit] (math/hgemm.h).
inline Status ReadHalfLimit(const PrepareContext& context, float* limit) {
  *limit = static_cast<float>(context.attrs().Float("half_limit", 0.0));
  if (!(*limit > 0.0F && *limit <= math::kLargestHalf)) {
    return context.Fail(Code::kCorrupt, "half_limit must be above 0 and at most %g", static_cast<double>(math::kLargestHalf));
  }
  return Status::Ok();
}

// Runs all tasks of a plan of PlanHalfGemm on the context's threads. scratch: GemmScratchBytes().
inline void RunHalfGemm(const RunContext& context, const math::GemmPlan& plan, const math::RowSource& a, float limit,
                        const math::PanelMatrix& b, const math::Epilogue& epilogue, float* c, int64_t ldc,
                        std::byte* scratch) {
  context.threads().ForEach(plan.tasks(), [&](int64_t task, int worker) {
    math::RunHalfGemmTask(plan, a, limit, b, epilogue, c, ldc, task,
                          scratch + plan.scratch_bytes * static_cast<size_t>(worker));
  });
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_HALVES_H_
