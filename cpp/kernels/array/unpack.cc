// Unpack: the slices along one axis (attribute axis), each without it. Slices that nobody reads are left out.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

struct UnpackParams {
  int64_t outer;
  int64_t bytes;  // of one output, for one index of the outer dims
};

Status PrepareUnpack(PrepareContext& context, size_t width) {
  if (context.num_inputs() != 1) return context.Fail(Code::kCorrupt, "needs exactly one input");
  context.AllowUnusedOutputs();
  WHERRY_RETURN_IF_ERROR(ExpectInputWidth(context, 0, width));
  const Tensor& input = context.input(0);
  int axis = 0;
  WHERRY_RETURN_IF_ERROR(ResolveAxis(context, context.attrs().Int("axis", 0), input.rank, &axis));
  for (int i = 0; i < context.num_outputs(); ++i) {
    WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 0, i, width));
    const Tensor& output = context.output(i);
    bool fits = output.rank + 1 == input.rank && input.dim(axis) == context.num_outputs();
    for (int d = 0; fits && d < output.rank; ++d) fits = output.dim(d) == input.dim(d < axis ? d : d + 1);
    if (!fits) return context.Fail(Code::kCorrupt, "output %d is not a slice of the input", i);
  }
  UnpackParams& params = context.params<UnpackParams>();
  params.outer = ProductOf(input, 0, axis);
  params.bytes = ProductOf(input, axis + 1, input.rank) * static_cast<int64_t>(width);
  return Status::Ok();
}

Status RunUnpack(RunContext& context) {
  const UnpackParams& params = context.params<UnpackParams>();
  if (params.bytes == 0) return Status::Ok();
  const int64_t outputs = context.num_outputs();
  const std::byte* in = context.input(0).as<const std::byte>();
  const int64_t grain = 1 + kCopyGrainBytes / (params.bytes * (outputs > 0 ? outputs : 1));
  context.threads().ForRange(params.outer, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = 0; i < outputs; ++i) {
      std::byte* out = context.output(static_cast<int>(i)).as<std::byte>();
      if (out == nullptr) continue;
      for (int64_t row = begin; row < end; ++row) {
        std::memcpy(out + row * params.bytes, in + (row * outputs + i) * params.bytes,
                    static_cast<size_t>(params.bytes));
      }
    }
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(Unpack_x8)
WHERRY_PREPARE(Unpack_x8) { return PrepareUnpack(context, 1); }
WHERRY_RUN(Unpack_x8) { return RunUnpack(context); }
#endif

#if WHERRY_SELECTED(Unpack_x32)
WHERRY_PREPARE(Unpack_x32) { return PrepareUnpack(context, 4); }
WHERRY_RUN(Unpack_x32) { return RunUnpack(context); }
#endif

#if WHERRY_SELECTED(Unpack_x64)
WHERRY_PREPARE(Unpack_x64) { return PrepareUnpack(context, 8); }
WHERRY_RUN(Unpack_x64) { return RunUnpack(context); }
#endif

}  // namespace wherry::kernels
