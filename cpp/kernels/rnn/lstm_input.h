// The input's product of an LSTM in float32, for the rows of many steps at once: x [rows, inputs] times the first rows of
// w [inputs + units, 4 * units] in panels of any weight format, plus the bias.
//
// Where a layer's sequence has enough rows and weights are float32, AMX makes it from products of bfloat16 (math/bgemm.h).
// Whether it does follows from the layer's shape alone: the rows of a chunk, which memory limits, have the same bits
// however many they are.
#ifndef WHERRY_KERNELS_RNN_LSTM_INPUT_H_
#define WHERRY_KERNELS_RNN_LSTM_INPUT_H_

#include <algorithm>

#include "kernels/panels.h"
#include "math/bgemm.h"

namespace wherry::kernels {

inline constexpr int kLstmGates = 4;

struct LstmShape {
  int64_t steps = 0;
  int64_t batch = 0;
  int64_t inputs = 0;
  int64_t units = 0;
  int64_t chunk = 0;  // steps whose input products are made at once

  int64_t columns() const { return kLstmGates * units; }
  // Floats from a row's gates to the next row's. Products write a few columns of all rows at a time, which a cache could not
  // keep if the rows began a whole number of pages apart: then they share the same few sets of it.
  int64_t gate_stride() const { return columns() % kPageFloats == 0 ? columns() + kPadding : columns(); }

 private:
  static constexpr int64_t kPageFloats = 1024;
  static constexpr int64_t kPadding = 32;
};

class LstmInput {
 public:
  // Plain data, kept in the kernel's params.
  struct Plan {
    math::GemmPlan gemm;
    math::BfloatShape bfloat;  // of as many rows as are multiplied at once; none where gemm is taken
    size_t parts_bytes = 0;
    size_t task_bytes = 0;

    size_t scratch_bytes(int threads) const { return parts_bytes + task_bytes * static_cast<size_t>(threads); }
  };

  static Plan Prepare(const KernelContext& context, const LstmShape& shape, bool dequantizes) {
    Plan plan;
    if (!dequantizes && TakesBfloats(context, shape)) {
      const int64_t rows = std::min(shape.chunk * shape.batch, math::kBfloatRows);
      plan.bfloat = {rows, shape.inputs, shape.columns()};
      plan.parts_bytes = plan.bfloat.rows_bytes();
      plan.task_bytes = plan.bfloat.task_bytes();
      return plan;
    }
    plan.gemm = math::PlanGemm(shape.chunk * shape.batch, shape.inputs, 0, shape.columns(), dequantizes, context.isa(),
                               context.num_threads());
    plan.task_bytes = plan.gemm.scratch_bytes;
    return plan;
  }

  // gates [rows, weights.n], ldc apart; rows are no more than those of the plan's chunk. Uses all threads.
  static void Run(const RunContext& context, const Plan& plan, const float* x, int64_t rows, const math::PanelMatrix& weights,
                  const float* bias, float* gates, int64_t ldc, std::byte* scratch) {
    if constexpr (math::kBfloatProducts) {
      if (plan.bfloat.m > 0) {
        const int64_t k = plan.bfloat.k;
        for (int64_t row = 0; row < rows; row += plan.bfloat.m) {
          const int64_t count = std::min(plan.bfloat.m, rows - row);
          RunBfloats(context, plan, x + row * k, count, weights, bias, gates + row * ldc, ldc, scratch);
        }
        return;
      }
    }
    const math::GemmPlan& most = plan.gemm;
    const math::GemmPlan gemm = rows == most.m ? most
                                               : math::PlanGemm(rows, most.k, 0, most.column_end, most.dequantizes, most.isa,
                                                                context.num_threads());
    math::Epilogue epilogue;
    epilogue.bias = bias;
    RunGemm(context, gemm, math::RowSource::Matrix(x, most.k), weights, epilogue, gates, ldc, scratch);
  }

 private:
  // With fewer rows or inputs, what splits weights into parts takes about as long as what it saves.
  static constexpr int64_t kFewestRows = 64;
  static constexpr int64_t kFewestInputs = 64;
  static constexpr int64_t kTasksPerThread = 4;

  static bool TakesBfloats(const KernelContext& context, const LstmShape& shape) {
    return shape.steps * shape.batch >= kFewestRows && shape.inputs >= kFewestInputs && shape.units > 0 &&
           math::TakesBfloats(shape.columns(), context.isa());
  }

  static void RunBfloats(const RunContext& context, const Plan& plan, const float* x, int64_t rows,
                         const math::PanelMatrix& weights, const float* bias, float* gates, int64_t ldc, std::byte* scratch) {
    math::BfloatProduct product;
    product.shape = plan.bfloat;
    product.shape.m = rows;
    product.a = x;
    uint16_t* const parts = reinterpret_cast<uint16_t*>(scratch);
    product.parts = parts;
    product.b = weights;
    product.bias = bias;
    product.c = gates;
    product.ldc = ldc;
    const math::BfloatShape& shape = product.shape;
    const int threads = context.num_threads();
    context.threads().ForRange(shape.row_tiles(), 2, [&](int64_t begin, int64_t end, int) {
      for (int64_t tile = begin; tile < end; ++tile) math::SplitRowTile(shape, x, tile, parts);
    });
    const int64_t pairs = shape.column_pairs();
    const bool splits = threads > 1 && math::PaysToSplit(rows, shape.k, shape.n);
    const int64_t tasks = splits ? std::min<int64_t>(pairs, kTasksPerThread * threads) : 1;
    context.threads().ForEach(tasks, [&](int64_t task, int worker) {
      math::RunBfloatProduct(product, pairs * task / tasks, pairs * (task + 1) / tasks,
                             scratch + plan.parts_bytes + plan.task_bytes * static_cast<size_t>(worker));
    });
  }
};

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_RNN_LSTM_INPUT_H_
