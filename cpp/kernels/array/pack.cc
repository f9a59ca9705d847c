// Pack: stacks tensors of one shape along a new axis (attribute axis).
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

struct PackParams {
  int64_t outer;
  int64_t bytes;  // of one input, for one index of the outer dims
};

Status PreparePack(PrepareContext& context, size_t width) {
  if (context.num_inputs() < 1 || context.num_outputs() != 1) {
    return context.Fail(Code::kCorrupt, "needs at least one input and exactly one output");
  }
  const Tensor& output = context.output(0);
  int axis = 0;
  WHERRY_RETURN_IF_ERROR(ResolveAxis(context, context.attrs().Int("axis", 0), output.rank, &axis));
  for (int i = 0; i < context.num_inputs(); ++i) {
    WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, i, 0, width));
    const Tensor& input = context.input(i);
    bool fits = input.rank + 1 == output.rank && output.dim(axis) == context.num_inputs();
    for (int d = 0; fits && d < input.rank; ++d) fits = input.dim(d) == output.dim(d < axis ? d : d + 1);
    if (!fits) return context.Fail(Code::kCorrupt, "input %d does not fit into the output", i);
  }
  PackParams& params = context.params<PackParams>();
  params.outer = ProductOf(output, 0, axis);
  params.bytes = ProductOf(output, axis + 1, output.rank) * static_cast<int64_t>(width);
  return Status::Ok();
}

Status RunPack(RunContext& context) {
  const PackParams& params = context.params<PackParams>();
  if (params.bytes == 0) return Status::Ok();
  const int64_t inputs = context.num_inputs();
  std::byte* out = context.output(0).as<std::byte>();
  const int64_t grain = 1 + kCopyGrainBytes / (params.bytes * inputs);
  context.threads().ForRange(params.outer, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t i = 0; i < inputs; ++i) {
        std::memcpy(out + (row * inputs + i) * params.bytes,
                    context.input(static_cast<int>(i)).as<const std::byte>() + row * params.bytes,
                    static_cast<size_t>(params.bytes));
      }
    }
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(Pack_x8)
WHERRY_PREPARE(Pack_x8) { return PreparePack(context, 1); }
WHERRY_RUN(Pack_x8) { return RunPack(context); }
#endif

#if WHERRY_SELECTED(Pack_x32)
WHERRY_PREPARE(Pack_x32) { return PreparePack(context, 4); }
WHERRY_RUN(Pack_x32) { return RunPack(context); }
#endif

#if WHERRY_SELECTED(Pack_x64)
WHERRY_PREPARE(Pack_x64) { return PreparePack(context, 8); }
WHERRY_RUN(Pack_x64) { return RunPack(context); }
#endif

}  // namespace wherry::kernels
