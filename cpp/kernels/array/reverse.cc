// ReverseV2: turns the order along constant axes around.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

Status PrepareReverse(PrepareContext& context, size_t width) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 0, 0, width));
  const Tensor& input = context.input(0);
  WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 0, input.shape()));
  int64_t axes[kMaxRank];
  size_t count = 0;
  WHERRY_RETURN_IF_ERROR(context.ReadInts(1, axes, kMaxRank, &count));
  bool reversed[kMaxRank] = {};
  for (size_t i = 0; i < count; ++i) {
    int axis = 0;
    WHERRY_RETURN_IF_ERROR(ResolveAxis(context, axes[i], input.rank, &axis));
    if (reversed[axis]) return context.Fail(Code::kCorrupt, "axis %d is reversed twice", axis);
    reversed[axis] = true;
  }
  int64_t strides[kMaxRank];
  RowMajorStrides(input, strides);
  math::CopyPlanner planner;
  int64_t base = 0;
  for (int d = 0; d < input.rank; ++d) {
    if (reversed[d] && input.dim(d) > 0) base += (input.dim(d) - 1) * strides[d];
    planner.Loop(input.dim(d), reversed[d] ? -strides[d] : strides[d], strides[d]);
  }
  planner.Base(base, 0);
  return KeepPlan(context, planner);
}

}  // namespace

#if WHERRY_SELECTED(ReverseV2_x8)
WHERRY_PREPARE(ReverseV2_x8) { return PrepareReverse(context, 1); }
WHERRY_RUN(ReverseV2_x8) { return RunKeptPlan(context, 1); }
#endif

#if WHERRY_SELECTED(ReverseV2_x32)
WHERRY_PREPARE(ReverseV2_x32) { return PrepareReverse(context, 4); }
WHERRY_RUN(ReverseV2_x32) { return RunKeptPlan(context, 4); }
#endif

#if WHERRY_SELECTED(ReverseV2_x64)
WHERRY_PREPARE(ReverseV2_x64) { return PrepareReverse(context, 8); }
WHERRY_RUN(ReverseV2_x64) { return RunKeptPlan(context, 8); }
#endif

}  // namespace wherry::kernels
