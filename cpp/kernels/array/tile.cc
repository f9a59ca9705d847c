// Tile: the input again and again along each dimension; the numbers of times are constants.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

Status PrepareTile(PrepareContext& context, size_t width) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 0, 0, width));
  const Tensor& input = context.input(0);
  const Tensor& output = context.output(0);
  int64_t times[kMaxRank];
  size_t count = 0;
  WHERRY_RETURN_IF_ERROR(context.ReadInts(1, times, kMaxRank, &count));
  if (count != static_cast<size_t>(input.rank) || output.rank != input.rank) {
    return context.Fail(Code::kCorrupt, "multiples or output has not one entry per dimension");
  }
  int64_t in_strides[kMaxRank];
  int64_t out_strides[kMaxRank];
  RowMajorStrides(input, in_strides);
  RowMajorStrides(output, out_strides);
  math::CopyPlanner planner;
  for (int d = 0; d < input.rank; ++d) {
    const int64_t dim = input.dim(d);
    const bool fits = dim == 0 ? output.dim(d) == 0 : output.dim(d) % dim == 0 && output.dim(d) / dim == times[d];
    if (!fits) return context.Fail(Code::kCorrupt, "dimension %d of the output is not a multiple", d);
    planner.Loop(times[d], 0, out_strides[d] * dim);
    planner.Loop(dim, in_strides[d], out_strides[d]);
  }
  return KeepPlan(context, planner);
}

}  // namespace

#if WHERRY_SELECTED(Tile_x8)
WHERRY_PREPARE(Tile_x8) { return PrepareTile(context, 1); }
WHERRY_RUN(Tile_x8) { return RunKeptPlan(context, 1); }
#endif

#if WHERRY_SELECTED(Tile_x32)
WHERRY_PREPARE(Tile_x32) { return PrepareTile(context, 4); }
WHERRY_RUN(Tile_x32) { return RunKeptPlan(context, 4); }
#endif

#if WHERRY_SELECTED(Tile_x64)
WHERRY_PREPARE(Tile_x64) { return PrepareTile(context, 8); }
WHERRY_RUN(Tile_x64) { return RunKeptPlan(context, 8); }
#endif

}  // namespace wherry::kernels
