// Transpose: permutes dims; the permutation is a constant.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

Status PrepareTranspose(PrepareContext& context, size_t width) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 0, 0, width));
  const Tensor& input = context.input(0);
  int64_t permutation[kMaxRank];
  size_t count = 0;
  WHERRY_RETURN_IF_ERROR(context.ReadInts(1, permutation, kMaxRank, &count));
  if (count != static_cast<size_t>(input.rank)) {
    return context.Fail(Code::kCorrupt, "the permutation does not name every dimension");
  }
  int64_t in_strides[kMaxRank];
  RowMajorStrides(input, in_strides);
  int64_t out_strides[kMaxRank];
  RowMajorStrides(context.output(0), out_strides);
  int64_t dims[kMaxRank];
  bool seen[kMaxRank] = {};
  math::CopyPlanner planner;
  for (size_t d = 0; d < count; ++d) {
    int from = 0;
    WHERRY_RETURN_IF_ERROR(ResolveAxis(context, permutation[d], input.rank, &from));
    if (seen[from]) return context.Fail(Code::kCorrupt, "the permutation names dimension %d twice", from);
    seen[from] = true;
    dims[d] = input.dim(from);
  }
  WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 0, {dims, count}));
  for (size_t d = 0; d < count; ++d) {
    const int64_t from = permutation[d] < 0 ? permutation[d] + input.rank : permutation[d];
    planner.Loop(dims[d], in_strides[from], out_strides[d]);
  }
  return KeepPlan(context, planner);
}

}  // namespace

#if WHERRY_SELECTED(Transpose_x8)
WHERRY_PREPARE(Transpose_x8) { return PrepareTranspose(context, 1); }
WHERRY_RUN(Transpose_x8) { return RunKeptPlan(context, 1); }
#endif

#if WHERRY_SELECTED(Transpose_x32)
WHERRY_PREPARE(Transpose_x32) { return PrepareTranspose(context, 4); }
WHERRY_RUN(Transpose_x32) { return RunKeptPlan(context, 4); }
#endif

#if WHERRY_SELECTED(Transpose_x64)
WHERRY_PREPARE(Transpose_x64) { return PrepareTranspose(context, 8); }
WHERRY_RUN(Transpose_x64) { return RunKeptPlan(context, 8); }
#endif

}  // namespace wherry::kernels
