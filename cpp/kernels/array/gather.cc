// GatherV2 and Gather: slices of a tensor at given indices along a constant axis.
#include "kernels/array/copy.h"
#include "kernels/array/gather.h"

namespace wherry::kernels {

namespace {

template <typename T>
Status RunPlainGather(RunContext& context) {
  const GatherParams& params = context.params<GatherParams>();
  const T* in = context.input(0).as<const T>();
  T* out = context.output(0).as<T>();
  return RunGather(context, [&](int64_t from, int64_t to) {
    std::memcpy(out + to, in + from, static_cast<size_t>(params.inner) * sizeof(T));
  });
}

Status PreparePlainGather(PrepareContext& context, size_t width) {
  WHERRY_RETURN_IF_ERROR(PrepareGather(context));
  return ExpectSameElements(context, 0, 0, width);
}

}  // namespace

#if WHERRY_SELECTED(GatherV2_x8)
WHERRY_PREPARE(GatherV2_x8) { return PreparePlainGather(context, 1); }
WHERRY_RUN(GatherV2_x8) { return RunPlainGather<uint8_t>(context); }
#endif

#if WHERRY_SELECTED(GatherV2_x32)
WHERRY_PREPARE(GatherV2_x32) { return PreparePlainGather(context, 4); }
WHERRY_RUN(GatherV2_x32) { return RunPlainGather<uint32_t>(context); }
#endif

#if WHERRY_SELECTED(GatherV2_x64)
WHERRY_PREPARE(GatherV2_x64) { return PreparePlainGather(context, 8); }
WHERRY_RUN(GatherV2_x64) { return RunPlainGather<uint64_t>(context); }
#endif

}  // namespace wherry::kernels
