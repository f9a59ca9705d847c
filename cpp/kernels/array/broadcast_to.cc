// BroadcastTo: repeats dims of size 1; the output's shape says how far.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

Status PrepareBroadcastTo(PrepareContext& context, size_t width) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 0, 0, width));
  const Tensor& input = context.input(0);
  const Tensor& output = context.output(0);
  const int offset = output.rank - input.rank;
  if (offset < 0) return context.Fail(Code::kCorrupt, "the output has fewer dims than the input");
  int64_t in_strides[kMaxRank];
  int64_t out_strides[kMaxRank];
  RowMajorStrides(input, in_strides);
  RowMajorStrides(output, out_strides);
  math::CopyPlanner planner;
  for (int d = 0; d < output.rank; ++d) {
    const bool repeats = d < offset || input.dim(d - offset) == 1;
    if (!repeats && input.dim(d - offset) != output.dim(d)) {
      return context.Fail(Code::kCorrupt, "dimension %d does not broadcast", d);
    }
    planner.Loop(output.dim(d), repeats ? 0 : in_strides[d - offset], out_strides[d]);
  }
  return KeepPlan(context, planner);
}

}  // namespace

#if WHERRY_SELECTED(BroadcastTo_x8)
WHERRY_PREPARE(BroadcastTo_x8) { return PrepareBroadcastTo(context, 1); }
WHERRY_RUN(BroadcastTo_x8) { return RunKeptPlan(context, 1); }
#endif

#if WHERRY_SELECTED(BroadcastTo_x32)
WHERRY_PREPARE(BroadcastTo_x32) { return PrepareBroadcastTo(context, 4); }
WHERRY_RUN(BroadcastTo_x32) { return RunKeptPlan(context, 4); }
#endif

#if WHERRY_SELECTED(BroadcastTo_x64)
WHERRY_PREPARE(BroadcastTo_x64) { return PrepareBroadcastTo(context, 8); }
WHERRY_RUN(BroadcastTo_x64) { return RunKeptPlan(context, 8); }
#endif

}  // namespace wherry::kernels
