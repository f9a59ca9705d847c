// Pad and PadV2: a border of zeros, or of the number that is the third input; the widths are constants.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

Status PreparePad(PrepareContext& context, size_t width) {
  const bool has_value = context.num_inputs() == 3;
  if (!has_value) WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  if (context.num_outputs() != 1) return context.Fail(Code::kCorrupt, "needs exactly one output");
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 0, 0, width));
  if (has_value) {
    WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 2, 0, width));
    if (context.input(2).count() != 1) return context.Fail(Code::kCorrupt, "the padding is not one number");
  }
  const Tensor& input = context.input(0);
  const Tensor& output = context.output(0);
  int64_t paddings[2 * kMaxRank];
  size_t count = 0;
  WHERRY_RETURN_IF_ERROR(context.ReadInts(1, paddings, 2 * kMaxRank, &count));
  if (count != 2 * static_cast<size_t>(input.rank) || output.rank != input.rank) {
    return context.Fail(Code::kCorrupt, "paddings or output has not one entry per dimension");
  }
  int64_t in_strides[kMaxRank];
  int64_t out_strides[kMaxRank];
  RowMajorStrides(input, in_strides);
  RowMajorStrides(output, out_strides);
  math::CopyPlanner planner;
  int64_t base = 0;
  for (int d = 0; d < input.rank; ++d) {
    const int64_t before = paddings[2 * d];
    const int64_t after = paddings[2 * d + 1];
    const int64_t room = output.dim(d) - input.dim(d);
    if (before < 0 || before > room || after != room - before) {
      return context.Fail(Code::kCorrupt, "dimension %d of the output does not follow from the paddings", d);
    }
    base += before * out_strides[d];
    planner.Loop(input.dim(d), in_strides[d], out_strides[d]);
  }
  planner.Base(0, base);
  return KeepPlan(context, planner);
}

template <typename T>
Status RunPad(RunContext& context) {
  const T value = context.num_inputs() == 3 ? *context.input(2).as<const T>() : T{0};
  T* out = context.output(0).as<T>();
  const int64_t grain = kCopyGrainBytes / static_cast<int64_t>(sizeof(T));
  context.threads().ForRange(context.output(0).count(), grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) out[i] = value;
  });
  return RunKeptPlan(context, sizeof(T));
}

}  // namespace

#if WHERRY_SELECTED(Pad_x8)
WHERRY_PREPARE(Pad_x8) { return PreparePad(context, 1); }
WHERRY_RUN(Pad_x8) { return RunPad<uint8_t>(context); }
#endif

#if WHERRY_SELECTED(Pad_x32)
WHERRY_PREPARE(Pad_x32) { return PreparePad(context, 4); }
WHERRY_RUN(Pad_x32) { return RunPad<uint32_t>(context); }
#endif

#if WHERRY_SELECTED(Pad_x64)
WHERRY_PREPARE(Pad_x64) { return PreparePad(context, 8); }
WHERRY_RUN(Pad_x64) { return RunPad<uint64_t>(context); }
#endif

}  // namespace wherry::kernels
