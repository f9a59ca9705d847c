// Softmax and LogSoftmax over the last dimension, float32.
//
// Every row is shifted by its largest element, so nothing overflows; sums are made in double.
#include <cmath>

#include "kernels/select.h"
#include "math/reduce_f32.h"
#include "math/vectorize.h"
#include "math/vmath.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Softmax_f32) || WHERRY_SELECTED(LogSoftmax_f32)
namespace {

struct SoftmaxParams {
  int64_t rows = 0;
  int64_t depth = 0;
};

constexpr int64_t kSoftmaxGrain = 2048;  // exponentials that are worth a thread of their own

Status PrepareSoftmax(PrepareContext& context) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(1, 1));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputType(0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(0, DType::kF32));
  const Tensor& in = context.input(0);
  if (in.rank < 1) return context.Fail(Code::kCorrupt, "input must have rank 1 or more");
  if (!in.SameShape(context.output(0))) return context.Fail(Code::kCorrupt, "output and input differ in shape");
  const int64_t depth = in.dim(in.rank - 1);
  context.params<SoftmaxParams>() = {depth == 0 ? 0 : in.count() / depth, depth};
  return Status::Ok();
}

// A row of `depth` elements, its largest, and sums of `depth` floats. Works in place.
struct SoftmaxRow {
  const float* in;
  float* out;
  int64_t depth;
  Isa isa;

  float Reduced(const math::FloatReduction& reduction, const float* values, int64_t count) const {
    const bool reduced = true;
    float result = 0;
    reduction.units(math::PlanReduce(&count, &reduced, 1, 1), values, &result, 0, 1, isa);
    return result;
  }
  float Largest() const { return Reduced(math::MaxOfFloats(), in, depth); }
  float Sum(const float* values, int64_t count) const { return Reduced(math::SumOfFloats(), values, count); }
};

// run(row) for every row.
template <typename Run>
Status RunSoftmax(RunContext& context, const Run& run) {
  const SoftmaxParams& p = context.params<SoftmaxParams>();
  if (p.depth == 0) return Status::Ok();
  const float* in = context.input(0).as<const float>();
  float* out = context.output(0).as<float>();
  context.threads().ForRange(p.rows, 1 + kSoftmaxGrain / p.depth, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      run(SoftmaxRow{in + r * p.depth, out + r * p.depth, p.depth, context.isa()});
    }
  });
  return Status::Ok();
}

}  // namespace
#endif

#if WHERRY_SELECTED(Softmax_f32)
WHERRY_PREPARE(Softmax_f32) { return PrepareSoftmax(context); }
WHERRY_RUN(Softmax_f32) {
  return RunSoftmax(context, [](const SoftmaxRow& row) {
    math::ExpOfShifted(row.in, row.Largest(), row.out, row.depth, row.isa);
    const float inverse = 1.0F / row.Sum(row.out, row.depth);
    WHERRY_VECTORIZE
    for (int64_t i = 0; i < row.depth; ++i) row.out[i] *= inverse;
  });
}
#endif

#if WHERRY_SELECTED(LogSoftmax_f32)
WHERRY_PREPARE(LogSoftmax_f32) { return PrepareSoftmax(context); }
WHERRY_RUN(LogSoftmax_f32) {
  return RunSoftmax(context, [](const SoftmaxRow& row) {
    constexpr int64_t kBlock = 256;
    float powers[kBlock];
    const float largest = row.Largest();
    double sum = 0;
    for (int64_t begin = 0; begin < row.depth; begin += kBlock) {
      const int64_t count = row.depth - begin < kBlock ? row.depth - begin : kBlock;
      math::ExpOfShifted(row.in + begin, largest, powers, count, row.isa);
      sum += static_cast<double>(row.Sum(powers, count));
    }
    const float log_sum = static_cast<float>(std::log(sum));
    WHERRY_VECTORIZE
    for (int64_t i = 0; i < row.depth; ++i) row.out[i] = (row.in[i] - largest) - log_sum;
  });
}
#endif

}  // namespace wherry::kernels
