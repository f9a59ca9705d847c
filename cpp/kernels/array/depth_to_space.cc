// DepthToSpace and SpaceToDepth, channels last: blocks of channels become squares of pixels and back. Attribute
// block_size.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

// deep: [n, h, w, b * b * c]; wide: [n, h * b, w * b, c]. Loops run in the order of the output.
Status PrepareDepthSpace(PrepareContext& context, size_t width, bool to_space) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(1, 1));
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 0, 0, width));
  const Tensor& deep = to_space ? context.input(0) : context.output(0);
  const Tensor& wide = to_space ? context.output(0) : context.input(0);
  const int64_t b = context.attrs().Int("block_size", 0);
  if (!(context.attrs().String("data_format", "NHWC") == StringView("NHWC"))) {
    return context.Fail(Code::kCorrupt, "only data_format NHWC is served");
  }
  if (deep.rank != 4 || wide.rank != 4 || b < 1 || b > 65536) {
    return context.Fail(Code::kCorrupt, "needs 4 dims and a block_size from 1");
  }
  const int64_t n = deep.dim(0);
  const int64_t h = deep.dim(1);
  const int64_t w = deep.dim(2);
  const int64_t c = deep.dim(3) / (b * b);
  if (deep.dim(3) % (b * b) != 0 || wide.dim(0) != n || wide.dim(1) / b != h || wide.dim(1) % b != 0 ||
      wide.dim(2) / b != w || wide.dim(2) % b != 0 || wide.dim(3) != c) {
    return context.Fail(Code::kCorrupt, "the shapes do not follow from block_size");
  }
  const int64_t deep_row = w * b * b * c;
  const int64_t wide_row = w * b * c;
  const int64_t dims[] = {n, h, b, w, b, c};
  const int64_t deep_strides[] = {h * deep_row, deep_row, b * c, b * b * c, c, 1};
  const int64_t wide_strides[] = {h * b * wide_row, b * wide_row, wide_row, b * c, c, 1};
  const int to_space_order[] = {0, 1, 2, 3, 4, 5};
  const int to_depth_order[] = {0, 1, 3, 2, 4, 5};
  math::CopyPlanner planner;
  for (int k = 0; k < 6; ++k) {
    const int loop = to_space ? to_space_order[k] : to_depth_order[k];
    planner.Loop(dims[loop], to_space ? deep_strides[loop] : wide_strides[loop],
                 to_space ? wide_strides[loop] : deep_strides[loop]);
  }
  return KeepPlan(context, planner);
}

}  // namespace

#if WHERRY_SELECTED(DepthToSpace_x8)
WHERRY_PREPARE(DepthToSpace_x8) { return PrepareDepthSpace(context, 1, true); }
WHERRY_RUN(DepthToSpace_x8) { return RunKeptPlan(context, 1); }
#endif

#if WHERRY_SELECTED(DepthToSpace_x32)
WHERRY_PREPARE(DepthToSpace_x32) { return PrepareDepthSpace(context, 4, true); }
WHERRY_RUN(DepthToSpace_x32) { return RunKeptPlan(context, 4); }
#endif

#if WHERRY_SELECTED(DepthToSpace_x64)
WHERRY_PREPARE(DepthToSpace_x64) { return PrepareDepthSpace(context, 8, true); }
WHERRY_RUN(DepthToSpace_x64) { return RunKeptPlan(context, 8); }
#endif

#if WHERRY_SELECTED(SpaceToDepth_x8)
WHERRY_PREPARE(SpaceToDepth_x8) { return PrepareDepthSpace(context, 1, false); }
WHERRY_RUN(SpaceToDepth_x8) { return RunKeptPlan(context, 1); }
#endif

#if WHERRY_SELECTED(SpaceToDepth_x32)
WHERRY_PREPARE(SpaceToDepth_x32) { return PrepareDepthSpace(context, 4, false); }
WHERRY_RUN(SpaceToDepth_x32) { return RunKeptPlan(context, 4); }
#endif

#if WHERRY_SELECTED(SpaceToDepth_x64)
WHERRY_PREPARE(SpaceToDepth_x64) { return PrepareDepthSpace(context, 8, false); }
WHERRY_RUN(SpaceToDepth_x64) { return RunKeptPlan(context, 8); }
#endif

}  // namespace wherry::kernels
