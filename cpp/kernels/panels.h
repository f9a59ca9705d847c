// What kernels with weights in panels share: checks of a weight tensor, its view for math/, and running a product on
// the context's threads.
#ifndef WHERRY_KERNELS_PANELS_H_
#define WHERRY_KERNELS_PANELS_H_

#include "math/gemm.h"
#include "runtime/kernel.h"

namespace wherry::kernels {

// Checks that input i is a [k, n] weight in panels of this format, with all its bytes, scales and offsets there.
// The tensor's own dims are the caller's to check: their product must be k * n. 8-bit codes lie in quads, unless they are
// of a depthwise filter.
Status CheckPanels(const PrepareContext& context, int i, WeightFormat format, int64_t k, int64_t n,
                   Layout codes = Layout::kQuads);

// The view of a weight that passed CheckPanels. `dequantize` is math::Int8Panels(isa) etc., null for float32.
inline math::PanelMatrix PanelsOf(const Tensor& tensor, int64_t k, int64_t n, math::DequantizePanel dequantize) {
  return {tensor.data, k, n, tensor.quant.scale, tensor.quant.offset, tensor.quant.bits, dequantize};
}

// Scratch for RunGemm: one piece for each thread.
inline size_t GemmScratchBytes(const math::GemmPlan& plan, int threads) {
  return plan.scratch_bytes * static_cast<size_t>(threads);
}

// Runs all tasks of a plan on the context's threads. scratch: GemmScratchBytes().
inline void RunGemm(const RunContext& context, const math::GemmPlan& plan, const math::RowSource& a,
                    const math::PanelMatrix& b, const math::Epilogue& epilogue, float* c, int64_t ldc,
                    std::byte* scratch) {
  context.threads().ForEach(plan.tasks(), [&](int64_t task, int worker) {
    math::RunGemmTask(plan, a, b, epilogue, c, ldc, task,
                      scratch + plan.scratch_bytes * static_cast<size_t>(worker));
  });
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_PANELS_H_
