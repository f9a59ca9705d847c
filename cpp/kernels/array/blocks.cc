// SpaceToBatchND and BatchToSpaceND: a convolution with dilation becomes one without, on blocks of the image. Block
// shape, paddings and crops are constants; at most 3 dims are cut.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

constexpr int kMaxBlockDims = 3;

// Space is [batch, d_1 .. d_m, rest]; blocks are [prod(block) * batch, h_1 .. h_m, rest] with
// h_k * block_k = d_k + before_k + after_k: positive borders are padded or cropped.
struct BlockParams {
  int64_t block[kMaxBlockDims];
  int64_t before[kMaxBlockDims];
  int64_t space[kMaxBlockDims];
  int64_t cut[kMaxBlockDims];
  int64_t batch;
  int64_t rest;
  int32_t dims;
};

Status PrepareBlocks(PrepareContext& context, size_t width, bool to_batch) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(3, 1));
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 0, 0, width));
  const Tensor& space = to_batch ? context.input(0) : context.output(0);
  const Tensor& blocks = to_batch ? context.output(0) : context.input(0);
  int64_t block[kMaxBlockDims];
  int64_t borders[2 * kMaxBlockDims];
  size_t dims = 0;
  size_t border_count = 0;
  WHERRY_RETURN_IF_ERROR(context.ReadInts(1, block, kMaxBlockDims, &dims));
  WHERRY_RETURN_IF_ERROR(context.ReadInts(2, borders, 2 * kMaxBlockDims, &border_count));
  const int m = static_cast<int>(dims);
  if (border_count != 2 * dims || space.rank != blocks.rank || space.rank < m + 1) {
    return context.Fail(Code::kCorrupt, "block shape, borders and dims do not match");
  }
  BlockParams& params = context.params<BlockParams>();
  params.dims = m;
  params.batch = space.dim(0);
  params.rest = ProductOf(space, m + 1, space.rank);
  int64_t copies = 1;
  bool fits = true;
  for (int k = 0; fits && k < m; ++k) {
    const int64_t before = borders[2 * k];
    const int64_t after = borders[2 * k + 1];
    const int64_t dim = space.dim(k + 1);
    const int64_t cut = blocks.dim(k + 1);
    constexpr int64_t kMost = int64_t{1} << 30;  // of anything: keeps sums and products in range
    fits = block[k] >= 1 && block[k] <= 65536 && before >= 0 && after >= 0 && before <= kMost && after <= kMost &&
           dim <= kMost && cut <= kMost && cut * block[k] == dim + before + after && copies <= 65536;
    copies *= block[k];
    params.block[k] = block[k];
    params.before[k] = before;
    params.space[k] = dim;
    params.cut[k] = cut;
  }
  fits = fits && blocks.dim(0) % copies == 0 && blocks.dim(0) / copies == params.batch;
  for (int d = m + 1; fits && d < space.rank; ++d) fits = space.dim(d) == blocks.dim(d);
  if (!fits) return context.Fail(Code::kCorrupt, "the output's shape does not follow from the inputs");
  return Status::Ok();
}

// Copies, for each place in a block, the pixels that lie there. Pixels of the border are left alone.
void CopyBlocks(RunContext& context, size_t width, bool to_batch) {
  const BlockParams& params = context.params<BlockParams>();
  int64_t copies = 1;
  int64_t space_strides[kMaxBlockDims + 1];
  int64_t cut_strides[kMaxBlockDims + 1];
  int64_t space_stride = params.rest;
  int64_t cut_stride = params.rest;
  for (int k = params.dims; k >= 1; --k) {
    space_strides[k] = space_stride;
    cut_strides[k] = cut_stride;
    space_stride *= params.space[k - 1];
    cut_stride *= params.cut[k - 1];
    copies *= params.block[k - 1];
  }
  for (int64_t copy = 0; copy < copies; ++copy) {
    math::CopyPlanner planner;
    planner.Loop(params.batch, to_batch ? space_stride : cut_stride, to_batch ? cut_stride : space_stride);
    int64_t space_base = 0;
    int64_t cut_base = copy * params.batch * cut_stride;
    int64_t divisor = copies;
    for (int k = 1; k <= params.dims; ++k) {
      const int64_t block = params.block[k - 1];
      divisor /= block;
      const int64_t shift = copy / divisor % block - params.before[k - 1];  // pixel = h * block + shift
      const int64_t first = shift >= 0 ? 0 : (-shift + block - 1) / block;
      const int64_t room = params.space[k - 1] - shift;
      int64_t stop = room <= 0 ? 0 : (room + block - 1) / block;
      if (stop > params.cut[k - 1]) stop = params.cut[k - 1];
      const int64_t count = stop > first ? stop - first : 0;
      space_base += (first * block + shift) * space_strides[k];
      cut_base += first * cut_strides[k];
      const int64_t space_step = block * space_strides[k];
      planner.Loop(count, to_batch ? space_step : cut_strides[k], to_batch ? cut_strides[k] : space_step);
    }
    planner.Loop(params.rest, 1, 1);
    planner.Base(to_batch ? space_base : cut_base, to_batch ? cut_base : space_base);
    math::CopyPlan plan;
    if (planner.Finish(&plan)) RunCopy(context, plan, width, context.input(0).data, context.output(0).data);
  }
}

[[maybe_unused]] Status RunSpaceToBatch(RunContext& context, size_t width) {
  const Tensor& output = context.output(0);
  const size_t bytes = static_cast<size_t>(output.count()) * width;
  if (bytes > 0) std::memset(output.data, 0, bytes);
  CopyBlocks(context, width, true);
  return Status::Ok();
}

[[maybe_unused]] Status RunBatchToSpace(RunContext& context, size_t width) {
  CopyBlocks(context, width, false);
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(BatchToSpaceND_x8)
WHERRY_PREPARE(BatchToSpaceND_x8) { return PrepareBlocks(context, 1, false); }
WHERRY_RUN(BatchToSpaceND_x8) { return RunBatchToSpace(context, 1); }
#endif

#if WHERRY_SELECTED(BatchToSpaceND_x32)
WHERRY_PREPARE(BatchToSpaceND_x32) { return PrepareBlocks(context, 4, false); }
WHERRY_RUN(BatchToSpaceND_x32) { return RunBatchToSpace(context, 4); }
#endif

#if WHERRY_SELECTED(BatchToSpaceND_x64)
WHERRY_PREPARE(BatchToSpaceND_x64) { return PrepareBlocks(context, 8, false); }
WHERRY_RUN(BatchToSpaceND_x64) { return RunBatchToSpace(context, 8); }
#endif

#if WHERRY_SELECTED(SpaceToBatchND_x8)
WHERRY_PREPARE(SpaceToBatchND_x8) { return PrepareBlocks(context, 1, true); }
WHERRY_RUN(SpaceToBatchND_x8) { return RunSpaceToBatch(context, 1); }
#endif

#if WHERRY_SELECTED(SpaceToBatchND_x32)
WHERRY_PREPARE(SpaceToBatchND_x32) { return PrepareBlocks(context, 4, true); }
WHERRY_RUN(SpaceToBatchND_x32) { return RunSpaceToBatch(context, 4); }
#endif

#if WHERRY_SELECTED(SpaceToBatchND_x64)
WHERRY_PREPARE(SpaceToBatchND_x64) { return PrepareBlocks(context, 8, true); }
WHERRY_RUN(SpaceToBatchND_x64) { return RunSpaceToBatch(context, 8); }
#endif

}  // namespace wherry::kernels
