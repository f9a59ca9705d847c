// Split and SplitV: cuts a tensor along a constant axis, into equal parts or into parts of constant sizes. Parts that
// nobody reads are left out.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

struct SplitParams {
  int64_t outer;
  int64_t row_bytes;    // of the input, for one index of the outer dims
  int64_t inner_bytes;  // of one index along the axis
  int32_t axis;
  int32_t value;        // which input is cut
};

// The sizes of the parts are those of the outputs, which must fill the input. `value` and `axis` are input positions.
Status PrepareParts(PrepareContext& context, size_t width, int value, int axis_input) {
  if (context.num_inputs() <= axis_input || context.num_outputs() < 1) {
    return context.Fail(Code::kCorrupt, "has too few inputs or outputs");
  }
  context.AllowUnusedOutputs();
  WHERRY_RETURN_IF_ERROR(ExpectInputWidth(context, value, width));
  const Tensor& input = context.input(value);
  int axis = 0;
  WHERRY_RETURN_IF_ERROR(ReadAxis(context, axis_input, input.rank, &axis));
  int64_t along = 0;
  for (int i = 0; i < context.num_outputs(); ++i) {
    WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, value, i, width));
    const Tensor& output = context.output(i);
    bool fits = output.rank == input.rank;
    for (int d = 0; fits && d < input.rank; ++d) fits = d == axis || output.dim(d) == input.dim(d);
    fits = fits && output.dim(axis) <= input.dim(axis) - along;
    if (!fits) return context.Fail(Code::kCorrupt, "output %d is not a part of the input", i);
    along += output.dim(axis);
  }
  if (along != input.dim(axis)) return context.Fail(Code::kCorrupt, "the outputs do not make up the input");
  SplitParams& params = context.params<SplitParams>();
  params.axis = axis;
  params.value = value;
  params.outer = ProductOf(input, 0, axis);
  params.inner_bytes = ProductOf(input, axis + 1, input.rank) * static_cast<int64_t>(width);
  params.row_bytes = input.dim(axis) * params.inner_bytes;
  return Status::Ok();
}

[[maybe_unused]] Status PrepareSplit(PrepareContext& context, size_t width) {
  WHERRY_RETURN_IF_ERROR(PrepareParts(context, width, 1, 0));
  const int axis = context.params<SplitParams>().axis;
  for (int i = 1; i < context.num_outputs(); ++i) {
    if (context.output(i).dim(axis) != context.output(0).dim(axis)) {
      return context.Fail(Code::kCorrupt, "the outputs are not of equal size");
    }
  }
  return Status::Ok();
}

// A size of -1 stands for what remains; then the output's own size counts.
[[maybe_unused]] Status PrepareSplitV(PrepareContext& context, size_t width) {
  constexpr size_t kMaxParts = 64;
  WHERRY_RETURN_IF_ERROR(PrepareParts(context, width, 0, 2));
  int64_t sizes[kMaxParts];
  size_t count = 0;
  WHERRY_RETURN_IF_ERROR(context.ReadInts(1, sizes, kMaxParts, &count));
  const int axis = context.params<SplitParams>().axis;
  bool fits = count == static_cast<size_t>(context.num_outputs());
  for (size_t i = 0; fits && i < count; ++i) {
    fits = sizes[i] == -1 || context.output(static_cast<int>(i)).dim(axis) == sizes[i];
  }
  return fits ? Status::Ok() : context.Fail(Code::kCorrupt, "the outputs are not of the given sizes");
}

Status RunSplit(RunContext& context) {
  const SplitParams& params = context.params<SplitParams>();
  if (params.row_bytes == 0) return Status::Ok();
  const std::byte* in = context.input(params.value).as<const std::byte>();
  const int64_t grain = 1 + kCopyGrainBytes / params.row_bytes;
  context.threads().ForRange(params.outer, grain, [&](int64_t begin, int64_t end, int) {
    int64_t offset = 0;
    for (int i = 0; i < context.num_outputs(); ++i) {
      const Tensor& output = context.output(i);
      const int64_t bytes = output.dim(params.axis) * params.inner_bytes;
      if (bytes > 0 && output.data != nullptr) {
        for (int64_t row = begin; row < end; ++row) {
          std::memcpy(output.as<std::byte>() + row * bytes, in + row * params.row_bytes + offset,
                      static_cast<size_t>(bytes));
        }
      }
      offset += bytes;
    }
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(Split_x8)
WHERRY_PREPARE(Split_x8) { return PrepareSplit(context, 1); }
WHERRY_RUN(Split_x8) { return RunSplit(context); }
#endif

#if WHERRY_SELECTED(Split_x32)
WHERRY_PREPARE(Split_x32) { return PrepareSplit(context, 4); }
WHERRY_RUN(Split_x32) { return RunSplit(context); }
#endif

#if WHERRY_SELECTED(Split_x64)
WHERRY_PREPARE(Split_x64) { return PrepareSplit(context, 8); }
WHERRY_RUN(Split_x64) { return RunSplit(context); }
#endif

#if WHERRY_SELECTED(SplitV_x8)
WHERRY_PREPARE(SplitV_x8) { return PrepareSplitV(context, 1); }
WHERRY_RUN(SplitV_x8) { return RunSplit(context); }
#endif

#if WHERRY_SELECTED(SplitV_x32)
WHERRY_PREPARE(SplitV_x32) { return PrepareSplitV(context, 4); }
WHERRY_RUN(SplitV_x32) { return RunSplit(context); }
#endif

#if WHERRY_SELECTED(SplitV_x64)
WHERRY_PREPARE(SplitV_x64) { return PrepareSplitV(context, 8); }
WHERRY_RUN(SplitV_x64) { return RunSplit(context); }
#endif

}  // namespace wherry::kernels
