// What kernels that multiply floats in whole numbers of 16 bits share (math/short_gemm.h): how large a step of their
// activations is, and running a product on the context's threads.
#ifndef WHERRY_KERNELS_SHORTS_H_
#define WHERRY_KERNELS_SHORTS_H_

#include "math/short_gemm.h"
#include "runtime/kernel.h"

namespace wherry::kernels {

inline constexpr int64_t kMostFractionBits = 60;

// Activations are read in steps of 2^-bits. 0 where nobody makes so many.
inline float StepOf(int64_t bits) {
  if (bits < -kMostFractionBits || bits > kMostFractionBits) return 0.0F;
  const float power = static_cast<float>(int64_t{1} << (bits < 0 ? -bits : bits));
  return bits < 0 ? power : 1.0F / power;
}

// Reads the attribute fraction_bits.
inline Status ReadStep(const PrepareContext& context, float* step) {
  *step = StepOf(context.attrs().Int("fraction_bits", kMostFractionBits + 1));
  if (*step > 0.0F) return Status::Ok();
  return context.Fail(Code::kCorrupt, "fraction_bits must be from %d to %d", static_cast<int>(-kMostFractionBits),
                      static_cast<int>(kMostFractionBits));
}

// Memory for a plan's weights, and behind them for each thread's scratch.
inline size_t ShortScratchBytes(const math::ShortGemmPlan& plan, int threads) {
  return (math::ShortWeightBytes(plan) + 63) / 64 * 64 + plan.scratch_bytes * static_cast<size_t>(threads);
}

// Runs all tasks on the context's threads. scratch: ShortScratchBytes().
inline void RunShortGemm(const RunContext& context, const math::ShortGemmPlan& plan, const math::ShortRows& a, float step,
                         const math::PanelMatrix& b, const math::Epilogue& epilogue, float* c, int64_t ldc,
                         std::byte* scratch) {
  const math::ShortWeights weights = math::MakeShortWeights(plan, b, epilogue.bias, step, scratch);
  std::byte* const rest = scratch + (math::ShortWeightBytes(plan) + 63) / 64 * 64;
  context.threads().ForEach(plan.tasks(), [&](int64_t task, int worker) {
    math::RunShortGemmTask(plan, a, step, weights, epilogue, c, ldc, task,
                           rest + plan.scratch_bytes * static_cast<size_t>(worker));
  });
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_SHORTS_H_
