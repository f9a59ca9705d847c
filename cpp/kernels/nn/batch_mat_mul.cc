// BatchMatMulV2 and V3, float32: [..., M, K] x [..., K, N] of two operands of the run; the leading dimensions broadcast.
// adj_x and adj_y say that an operand's last two dimensions are swapped.
#include "kernels/nn/fused.h"
#include "kernels/panels.h"
#include "kernels/select.h"
#include "math/matrix.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(BatchMatMulV2_f32)
namespace {

constexpr int kMaxBatchRank = kMaxRank - 2;

struct BatchParams {
  math::GemmPlan plan;
  bool adj_x = false;
  bool adj_y = false;
  int32_t rank = 0;                // of the batch
  int64_t count = 0;               // products
  int32_t x_skip[kMaxBatchRank];   // 1 where the operand has that dimension, 0 where it broadcasts
  int32_t y_skip[kMaxBatchRank];
};

// Leading dimensions of an operand against those of the output, from the back.
bool FitsBatch(const Tensor& operand, const Tensor& out, int32_t* skip) {
  if (operand.rank > out.rank) return false;
  for (int i = 0; i < out.rank - 2; ++i) {
    const int own = i - (out.rank - operand.rank);
    skip[i] = own >= 0 && operand.dim(own) != 1 ? 1 : 0;
    if (skip[i] == 1 && operand.dim(own) != out.dim(i)) return false;
  }
  return true;
}

// The number of an operand's matrix for product `index`.
int64_t MatrixOf(const Tensor& operand, const Tensor& out, const int32_t* skip, int64_t index) {
  int64_t matrix = 0;
  int64_t step = 1;
  for (int i = out.rank - 3; i >= 0; --i) {
    const int64_t coordinate = index % out.dim(i);
    index /= out.dim(i);
    if (skip[i] == 0) continue;
    matrix += coordinate * step;
    step *= operand.dim(i - (out.rank - operand.rank));
  }
  return matrix;
}

}  // namespace

WHERRY_PREPARE(BatchMatMulV2_f32) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 1, DType::kF32));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kF32));
  const Tensor& x = context.input(0);
  const Tensor& y = context.input(1);
  const Tensor& out = context.output(0);
  if (x.rank < 2 || y.rank < 2 || out.rank != (x.rank > y.rank ? x.rank : y.rank)) {
    return context.Fail(Code::kCorrupt, "ranks of inputs and output do not fit");
  }
  BatchParams& params = context.params<BatchParams>();
  params = BatchParams();
  params.adj_x = context.attrs().Bool("adj_x", false);
  params.adj_y = context.attrs().Bool("adj_y", false);
  const int64_t m = x.dim(x.rank - (params.adj_x ? 1 : 2));
  const int64_t k = x.dim(x.rank - (params.adj_x ? 2 : 1));
  const int64_t n = y.dim(y.rank - (params.adj_y ? 2 : 1));
  if (y.dim(y.rank - (params.adj_y ? 1 : 2)) != k || out.dim(out.rank - 2) != m || out.dim(out.rank - 1) != n ||
      !FitsBatch(x, out, params.x_skip) || !FitsBatch(y, out, params.y_skip)) {
    return context.Fail(Code::kCorrupt, "shapes of inputs and output do not fit");
  }
  params.count = 1;
  for (int i = 0; i < out.rank - 2; ++i) {
    const int own_x = i - (out.rank - x.rank);
    const int own_y = i - (out.rank - y.rank);
    const int64_t x_dim = own_x >= 0 ? x.dim(own_x) : 1;
    const int64_t y_dim = own_y >= 0 ? y.dim(own_y) : 1;
    if (out.dim(i) != (x_dim == 1 ? y_dim : x_dim)) return context.Fail(Code::kCorrupt, "output's batch does not fit");
    params.count *= out.dim(i);
  }
  const int threads = context.num_threads();
  params.plan = math::PlanGemm(m, k, 0, n, true, context.isa(), params.count >= threads ? 1 : threads);
  context.RequestScratch(GemmScratchBytes(params.plan, threads));
  return Status::Ok();
}

WHERRY_RUN(BatchMatMulV2_f32) {
  const BatchParams& params = context.params<BatchParams>();
  const math::GemmPlan& plan = params.plan;
  const Tensor& x = context.input(0);
  const Tensor& y = context.input(1);
  const Tensor& out = context.output(0);
  const int64_t n = plan.column_end;
  const int64_t tasks = plan.tasks();
  context.threads().ForEach(params.count * tasks, [&](int64_t index, int worker) {
    const int64_t product = index / tasks;
    const float* a = x.as<const float>() + MatrixOf(x, out, params.x_skip, product) * plan.m * plan.k;
    const float* b = y.as<const float>() + MatrixOf(y, out, params.y_skip, product) * plan.k * n;
    const math::TransposedMatrix transposed = {a, plan.m};
    math::RunGemmTask(plan,
                      params.adj_x ? math::RowSource::Made(&math::CopyTransposed, &transposed)
                                   : math::RowSource::Matrix(a, plan.k),
                      math::PanelsOfMatrix(b, plan.k, n, params.adj_y), math::Epilogue(),
                      out.as<float>() + product * plan.m * n, n, index % tasks,
                      context.scratch() + plan.scratch_bytes * static_cast<size_t>(worker));
  });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
