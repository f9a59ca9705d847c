// Slice: a box of the input; begin and size are constants, size -1 reaches to the end.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

Status PrepareSlice(PrepareContext& context, size_t width) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(3, 1));
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 0, 0, width));
  const Tensor& input = context.input(0);
  int64_t begin[kMaxRank];
  int64_t size[kMaxRank];
  size_t begins = 0;
  size_t sizes = 0;
  WHERRY_RETURN_IF_ERROR(context.ReadInts(1, begin, kMaxRank, &begins));
  WHERRY_RETURN_IF_ERROR(context.ReadInts(2, size, kMaxRank, &sizes));
  const size_t rank = static_cast<size_t>(input.rank);
  if (begins != rank || sizes != rank) return context.Fail(Code::kCorrupt, "begin or size has not one value per dim");
  for (int d = 0; d < input.rank; ++d) {
    if (begin[d] < 0 || begin[d] > input.dim(d)) {
      return context.Fail(Code::kCorrupt, "begin lies outside of dimension %d", d);
    }
    if (size[d] == -1) size[d] = input.dim(d) - begin[d];
    if (size[d] < 0 || size[d] > input.dim(d) - begin[d]) {
      return context.Fail(Code::kCorrupt, "size reaches over the end of dimension %d", d);
    }
  }
  WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 0, {size, rank}));
  int64_t in_strides[kMaxRank];
  int64_t out_strides[kMaxRank];
  RowMajorStrides(input, in_strides);
  RowMajorStrides(context.output(0), out_strides);
  math::CopyPlanner planner;
  int64_t base = 0;
  for (size_t d = 0; d < rank; ++d) {
    base += begin[d] * in_strides[d];
    planner.Loop(size[d], in_strides[d], out_strides[d]);
  }
  planner.Base(base, 0);
  return KeepPlan(context, planner);
}

}  // namespace

#if WHERRY_SELECTED(Slice_x8)
WHERRY_PREPARE(Slice_x8) { return PrepareSlice(context, 1); }
WHERRY_RUN(Slice_x8) { return RunKeptPlan(context, 1); }
#endif

#if WHERRY_SELECTED(Slice_x32)
WHERRY_PREPARE(Slice_x32) { return PrepareSlice(context, 4); }
WHERRY_RUN(Slice_x32) { return RunKeptPlan(context, 4); }
#endif

#if WHERRY_SELECTED(Slice_x64)
WHERRY_PREPARE(Slice_x64) { return PrepareSlice(context, 8); }
WHERRY_RUN(Slice_x64) { return RunKeptPlan(context, 8); }
#endif

}  // namespace wherry::kernels
