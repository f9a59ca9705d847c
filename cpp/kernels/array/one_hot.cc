// OneHot: a new axis (attribute axis, -1 for the last) that is on at the index and off elsewhere; an index outside of
// it is off everywhere.
#include "kernels/array/copy.h"
#include "kernels/array/index.h"

namespace wherry::kernels {

namespace {

struct OneHotParams {
  int64_t outer;
  int64_t depth;
  int64_t inner;
};

Status PrepareOneHot(PrepareContext& context, size_t width) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(4, 1));
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 2, 0, width));
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 3, 0, width));
  if (context.input(2).count() != 1 || context.input(3).count() != 1) {
    return context.Fail(Code::kCorrupt, "the on or off value is not one number");
  }
  WHERRY_RETURN_IF_ERROR(ExpectIndices(context, 0));
  const Tensor& indices = context.input(0);
  const Tensor& output = context.output(0);
  int64_t depth = 0;
  WHERRY_RETURN_IF_ERROR(ReadInt(context, 1, &depth));
  int axis = 0;
  WHERRY_RETURN_IF_ERROR(ResolveAxis(context, context.attrs().Int("axis", -1), indices.rank + 1, &axis));
  bool fits = output.rank == indices.rank + 1 && output.dim(axis) == depth;
  for (int d = 0; fits && d < indices.rank; ++d) fits = indices.dim(d) == output.dim(d < axis ? d : d + 1);
  if (!fits) return context.Fail(Code::kCorrupt, "the output's shape does not follow from the inputs");
  context.params<OneHotParams>() = {ProductOf(indices, 0, axis), depth, ProductOf(indices, axis, indices.rank)};
  return Status::Ok();
}

template <typename T>
Status RunOneHot(RunContext& context) {
  const OneHotParams& params = context.params<OneHotParams>();
  const Tensor& indices = context.input(0);
  const T on = *context.input(2).as<const T>();
  const T off = *context.input(3).as<const T>();
  T* out = context.output(0).as<T>();
  const int64_t count = params.outer * params.depth * params.inner;
  for (int64_t i = 0; i < count; ++i) out[i] = off;
  for (int64_t i = 0; i < params.outer * params.inner && count > 0; ++i) {
    const int64_t index = IndexAt(indices, i);
    if (index < 0 || index >= params.depth) continue;
    out[(i / params.inner * params.depth + index) * params.inner + i % params.inner] = on;
  }
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(OneHot_x8)
WHERRY_PREPARE(OneHot_x8) { return PrepareOneHot(context, 1); }
WHERRY_RUN(OneHot_x8) { return RunOneHot<uint8_t>(context); }
#endif

#if WHERRY_SELECTED(OneHot_x32)
WHERRY_PREPARE(OneHot_x32) { return PrepareOneHot(context, 4); }
WHERRY_RUN(OneHot_x32) { return RunOneHot<uint32_t>(context); }
#endif

#if WHERRY_SELECTED(OneHot_x64)
WHERRY_PREPARE(OneHot_x64) { return PrepareOneHot(context, 8); }
WHERRY_RUN(OneHot_x64) { return RunOneHot<uint64_t>(context); }
#endif

}  // namespace wherry::kernels
