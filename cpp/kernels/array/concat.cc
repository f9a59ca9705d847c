// ConcatV2: joins any number of tensors along a constant axis, the last input.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

struct ConcatParams {
  int64_t outer;
  int64_t row_bytes;    // of the output, for one index of the outer dims
  int64_t out_step;     // from one to the next, where rows have gaps between them
  int64_t inner_bytes;  // of one index along the axis
  int32_t axis;
};

Status PrepareConcat(PrepareContext& context, size_t width) {
  const int joined = context.num_inputs() - 1;
  if (joined < 1 || context.num_outputs() != 1) {
    return context.Fail(Code::kCorrupt, "needs at least one tensor, an axis, and one output");
  }
  WHERRY_RETURN_IF_ERROR(ExpectOutputWidth(context, 0, width));
  const Tensor& output = context.output(0);
  int axis = 0;
  WHERRY_RETURN_IF_ERROR(ReadAxis(context, joined, output.rank, &axis));
  int64_t along = 0;
  for (int i = 0; i < joined; ++i) {
    WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, i, 0, width));
    const Tensor& input = context.input(i);
    bool fits = input.rank == output.rank;
    for (int d = 0; fits && d < output.rank; ++d) fits = d == axis || input.dim(d) == output.dim(d);
    fits = fits && input.dim(axis) <= output.dim(axis) - along;
    if (!fits) return context.Fail(Code::kCorrupt, "input %d does not fit into the output", i);
    along += input.dim(axis);
  }
  if (along != output.dim(axis)) return context.Fail(Code::kCorrupt, "the inputs do not fill the output");
  ConcatParams& params = context.params<ConcatParams>();
  params.axis = axis;
  params.outer = ProductOf(output, 0, axis);
  params.inner_bytes = ProductOf(output, axis + 1, output.rank) * static_cast<int64_t>(width);
  params.row_bytes = output.dim(axis) * params.inner_bytes;
  const bool rows = axis == output.rank - 1;
  params.out_step = rows ? output.pitch * params.inner_bytes : params.row_bytes;
  if (rows) context.AllowPitch(kAllPitched, 1);
  return Status::Ok();
}

Status RunConcat(RunContext& context) {
  const ConcatParams& params = context.params<ConcatParams>();
  if (params.row_bytes == 0) return Status::Ok();
  const int joined = context.num_inputs() - 1;
  std::byte* out = context.output(0).as<std::byte>();
  const int64_t grain = 1 + kCopyGrainBytes / params.row_bytes;
  context.threads().ForRange(params.outer, grain, [&](int64_t begin, int64_t end, int) {
    int64_t offset = 0;
    for (int i = 0; i < joined; ++i) {
      const int64_t bytes = context.input(i).dim(params.axis) * params.inner_bytes;
      if (bytes == 0) continue;
      const std::byte* in = context.input(i).as<const std::byte>();
      const int64_t step = context.input(i).dense() ? bytes : context.input(i).pitch * params.inner_bytes;
      for (int64_t row = begin; row < end; ++row) {
        std::memcpy(out + row * params.out_step + offset, in + row * step, static_cast<size_t>(bytes));
      }
      offset += bytes;
    }
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(ConcatV2_x8)
WHERRY_PREPARE(ConcatV2_x8) { return PrepareConcat(context, 1); }
WHERRY_RUN(ConcatV2_x8) { return RunConcat(context); }
#endif

#if WHERRY_SELECTED(ConcatV2_x32)
WHERRY_PREPARE(ConcatV2_x32) { return PrepareConcat(context, 4); }
WHERRY_RUN(ConcatV2_x32) { return RunConcat(context); }
#endif

#if WHERRY_SELECTED(ConcatV2_x64)
WHERRY_PREPARE(ConcatV2_x64) { return PrepareConcat(context, 8); }
WHERRY_RUN(ConcatV2_x64) { return RunConcat(context); }
#endif

}  // namespace wherry::kernels
