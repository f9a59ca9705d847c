// Copy: the bytes of the input, for Identity, Reshape, Squeeze and ExpandDims where the plan cannot alias them.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

Status PrepareCopy(PrepareContext& context, size_t width) {
  if (context.num_inputs() < 1 || context.num_outputs() != 1) {
    return context.Fail(Code::kCorrupt, "needs at least one input and exactly one output");
  }
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 0, 0, width));
  if (context.input(0).count() != context.output(0).count()) {
    return context.Fail(Code::kCorrupt, "input and output differ in their number of elements");
  }
  if (context.input(0).row_length() == context.output(0).row_length()) context.AllowPitch(1, 1);
  return Status::Ok();
}

Status RunCopyBytes(RunContext& context, size_t width) {
  const int64_t bytes = context.input(0).count() * static_cast<int64_t>(width);
  const std::byte* in = context.input(0).as<const std::byte>();
  std::byte* out = context.output(0).as<std::byte>();
  if (!context.input(0).dense() || !context.output(0).dense()) {
    const int64_t row = context.input(0).row_length() * static_cast<int64_t>(width);
    const int64_t in_step = context.input(0).pitch * static_cast<int64_t>(width);
    const int64_t out_step = context.output(0).pitch * static_cast<int64_t>(width);
    context.threads().ForRange(bytes / row, 1 + kCopyGrainBytes / row, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) std::memcpy(out + i * out_step, in + i * in_step, static_cast<size_t>(row));
    });
    return Status::Ok();
  }
  context.threads().ForRange(bytes, kCopyGrainBytes, [&](int64_t begin, int64_t end, int) {
    if (in != out) std::memcpy(out + begin, in + begin, static_cast<size_t>(end - begin));
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(Copy_x8)
WHERRY_PREPARE(Copy_x8) { return PrepareCopy(context, 1); }
WHERRY_RUN(Copy_x8) { return RunCopyBytes(context, 1); }
#endif

#if WHERRY_SELECTED(Copy_x16)
WHERRY_PREPARE(Copy_x16) { return PrepareCopy(context, 2); }
WHERRY_RUN(Copy_x16) { return RunCopyBytes(context, 2); }
#endif

#if WHERRY_SELECTED(Copy_x32)
WHERRY_PREPARE(Copy_x32) { return PrepareCopy(context, 4); }
WHERRY_RUN(Copy_x32) { return RunCopyBytes(context, 4); }
#endif

#if WHERRY_SELECTED(Copy_x64)
WHERRY_PREPARE(Copy_x64) { return PrepareCopy(context, 8); }
WHERRY_RUN(Copy_x64) { return RunCopyBytes(context, 8); }
#endif

}  // namespace wherry::kernels
