// What all reductions share: axes from a resident constant, keep_dims, and the loop over units of work.
#ifndef WHERRY_KERNELS_REDUCE_REDUCE_H_
#define WHERRY_KERNELS_REDUCE_REDUCE_H_

#include "kernels/select.h"
#include "kernels/shape.h"
#include "math/reduce.h"
#include "math/reduce_f32.h"

namespace wherry::kernels {

// Inputs: tensor, axes (a number or a vector). Attribute keep_dims.
inline Status PrepareReduce(PrepareContext& context, DType in, DType out) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, in));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, out));
  const Tensor& input = context.input(0);
  int64_t axes[kMaxRank];
  size_t count = 0;
  WHERRY_RETURN_IF_ERROR(context.ReadInts(1, axes, kMaxRank, &count));
  bool reduced[kMaxRank] = {};
  for (size_t i = 0; i < count; ++i) {
    int axis = 0;
    WHERRY_RETURN_IF_ERROR(ResolveAxis(context, axes[i], input.rank, &axis));
    if (reduced[axis]) return context.Fail(Code::kCorrupt, "axis %d is reduced twice", axis);
    reduced[axis] = true;
  }
  const bool keep_dims = context.attrs().Bool("keep_dims", false);
  int64_t dims[kMaxRank];
  size_t rank = 0;
  for (int d = 0; d < input.rank; ++d) {
    if (!reduced[d]) {
      dims[rank++] = input.dim(d);
    } else if (keep_dims) {
      dims[rank++] = 1;
    }
  }
  WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 0, {dims, rank}));
  context.params<math::ReducePlan>() = math::PlanReduce(input.dims, reduced, input.rank, context.num_threads());
  return Status::Ok();
}

// body(begin, end) for all units of the plan, on all threads.
template <typename Body>
void ForReduceUnits(const RunContext& context, const Body& body) {
  constexpr int64_t kElementsPerThread = 32768;
  const math::ReducePlan& plan = context.params<math::ReducePlan>();
  const int64_t per_unit = plan.terms * plan.tile;
  const int64_t grain = 1 + kElementsPerThread / (per_unit > 0 ? per_unit : 1);
  context.threads().ForRange(plan.units, grain, [&](int64_t begin, int64_t end, int) { body(begin, end); });
}

template <typename Op>
Status RunReduce(RunContext& context) {
  const math::ReducePlan& plan = context.params<math::ReducePlan>();
  const auto* in = context.input(0).as<const typename Op::In>();
  auto* out = context.output(0).as<typename Op::Out>();
  ForReduceUnits(context, [&](int64_t begin, int64_t end) { math::Reduce<Op>(plan, in, out, begin, end); });
  return Status::Ok();
}

// As PrepareReduce, for RunReduceFloats.
inline Status PrepareReduceFloats(PrepareContext& context) {
  WHERRY_RETURN_IF_ERROR(PrepareReduce(context, DType::kF32, DType::kF32));
  context.RequestScratch(math::ReduceScratchBytes(context.params<math::ReducePlan>()));
  return Status::Ok();
}

inline Status RunReduceFloats(RunContext& context, const math::FloatReduction& reduction) {
  const math::ReducePlan& plan = context.params<math::ReducePlan>();
  const float* in = context.input(0).as<const float>();
  float* out = context.output(0).as<float>();
  const Isa isa = context.isa();
  if (plan.chunks < 2) {
    ForReduceUnits(context, [&](int64_t begin, int64_t end) { reduction.units(plan, in, out, begin, end, isa); });
    return Status::Ok();
  }
  std::byte* scratch = context.scratch();
  context.threads().ForEach(plan.chunks, [&](int64_t chunk, int) { reduction.chunk(plan, in, chunk, scratch, isa); });
  reduction.join(plan, scratch, out, isa);
  return Status::Ok();
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_REDUCE_REDUCE_H_
