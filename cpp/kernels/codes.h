// What kernels that multiply 8-bit codes share: the view of a weight in quads, activations that are quantized as they
// come, and running a product on the context's threads.
#ifndef WHERRY_KERNELS_CODES_H_
#define WHERRY_KERNELS_CODES_H_

#include "kernels/panels.h"
#include "math/qgemm.h"
#include "runtime/kernel.h"

namespace wherry::kernels {

// As CheckPanels for codes in quads, which also keeps sums of products inside int32.
inline Status CheckQuads(const PrepareContext& context, int i, int64_t k, int64_t n,
                         WeightFormat format = WeightFormat::kInt8) {
  WHERRY_RETURN_IF_ERROR(CheckPanels(context, i, format, k, n));
  if (k > math::kMaxCodeDepth) {
    return context.Fail(Code::kCorrupt, "weight %d has more than %lld rows; compile the layer in float arithmetic", i,
                        static_cast<long long>(math::kMaxCodeDepth));
  }
  return Status::Ok();
}

// The planes of a weight that may have codes of 16 bits too.
inline int WeightPlanes(const Tensor& tensor) { return tensor.quant.format == WeightFormat::kInt16 ? 2 : 1; }
inline Status CheckQuadsOfPlanes(const PrepareContext& context, int i, int64_t k, int64_t n) {
  const bool wide = WeightPlanes(context.input(i)) > 1;
  return CheckQuads(context, i, k, n, wide ? WeightFormat::kInt16 : WeightFormat::kInt8);
}

inline math::QuadMatrix QuadsOf(const Tensor& tensor, int64_t k, int64_t n) {
  return {static_cast<const int8_t*>(tensor.data), k, n, tensor.quant.scale, tensor.quant.offset, WeightPlanes(tensor), 0};
}

constexpr size_t Align64(size_t bytes) { return (bytes + 63) / 64 * 64; }

inline size_t CodeGemmScratchBytes(const math::CodeGemmPlan& plan, int threads) {
  return plan.scratch_bytes * static_cast<size_t>(threads);
}

// Runs all tasks of a plan on the context's threads. scratch: CodeGemmScratchBytes().
inline void RunCodeGemm(const RunContext& context, const math::CodeGemmPlan& plan, const math::CodeRows& a,
                        const math::QuadMatrix& b, const math::Epilogue& epilogue, float* c, int64_t ldc,
                        std::byte* scratch) {
  context.threads().ForEach(plan.tasks(), [&](int64_t task, int worker) {
    math::RunCodeGemmTask(plan, a, b, epilogue, c, ldc, task,
                          scratch + plan.scratch_bytes * static_cast<size_t>(worker));
  });
}

inline void RunCodeGemm(const RunContext& context, const math::CodeGemmPlan& plan, const math::CodeRows& a,
                        const math::QuadMatrix& b, const math::CodeResult& result, std::byte* scratch) {
  context.threads().ForEach(plan.tasks(), [&](int64_t task, int worker) {
    math::RunCodeGemmTask(plan, a, b, result, task, scratch + plan.scratch_bytes * static_cast<size_t>(worker));
  });
}

// Reads the attribute activation_bits of a kernel that makes codes of activations: 8, or 16 for two planes of bytes.
inline Status ReadPlanes(const PrepareContext& context, int* planes) {
  const int64_t bits = context.attrs().Int("activation_bits", 8);
  if (bits != 8 && bits != 16) return context.Fail(Code::kCorrupt, "activation_bits must be 8 or 16");
  *planes = static_cast<int>(bits / 8);
  return Status::Ok();
}

// Rows that are quantized one by one. Where no two tasks of the product need the same row, a task quantizes its own, while
// they are in its cache; else all are quantized first, into scratch memory.
struct RowCodes {
  int64_t rows = 0;
  int64_t k = 0;
  int64_t leading = 0;  // zeros in front of each row's codes
  int planes = 1;       // rows of bytes for each row: 2 for codes of 16 bits
  bool ahead = true;    // all rows first

  // Plans the product, and how its rows are quantized. thrifty: as for PlanCodeGemm.
  math::CodeGemmPlan Plan(int64_t n, int weight_planes, Isa isa, int threads, bool thrifty = false) {
    math::CodeGemmPlan plan = math::PlanCodeGemm(rows, k, n, {planes, weight_planes}, true, isa, threads, thrifty);
    ahead = plan.column_parts != 1;
    return ahead ? math::PlanCodeGemm(rows, k, n, {planes, weight_planes}, false, isa, threads) : plan;
  }

  int64_t stride() const { return math::CodeRowBytes(k, leading); }
  size_t code_bytes() const { return ahead ? static_cast<size_t>(math::CodeRowsPadded(rows * planes) * stride()) : 0; }
  size_t bytes() const { return code_bytes() + Align64(static_cast<size_t>(rows) * sizeof(math::CodeScale)); }

  uint8_t* codes(std::byte* memory, int64_t row = 0) const {
    return reinterpret_cast<uint8_t*>(memory) + row * planes * stride();
  }
  math::CodeScale* scales(std::byte* memory) const {
    return reinterpret_cast<math::CodeScale*>(memory + code_bytes());
  }
  math::CodeRows View(std::byte* memory) const {
    math::CodeRows view;
    view.codes = codes(memory);
    view.stride = stride();
    view.groups = (leading + k + math::kQuad - 1) / math::kQuad;
    view.planes = planes;
    view.scales = scales(memory);
    return view;
  }
};

inline constexpr int64_t kQuantizeGrain = 8192;  // values that are worth a thread of their own

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_CODES_H_
