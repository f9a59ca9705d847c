// Fill: one number everywhere; the output's shape says where.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

Status PrepareFill(PrepareContext& context, size_t width) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 1, 0, width));
  if (context.input(1).count() != 1) return context.Fail(Code::kCorrupt, "the value is not one number");
  return Status::Ok();
}

template <typename T>
Status RunFill(RunContext& context) {
  const T value = *context.input(1).as<const T>();
  T* out = context.output(0).as<T>();
  const int64_t grain = kCopyGrainBytes / static_cast<int64_t>(sizeof(T));
  context.threads().ForRange(context.output(0).count(), grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) out[i] = value;
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(Fill_x8)
WHERRY_PREPARE(Fill_x8) { return PrepareFill(context, 1); }
WHERRY_RUN(Fill_x8) { return RunFill<uint8_t>(context); }
#endif

#if WHERRY_SELECTED(Fill_x32)
WHERRY_PREPARE(Fill_x32) { return PrepareFill(context, 4); }
WHERRY_RUN(Fill_x32) { return RunFill<uint32_t>(context); }
#endif

#if WHERRY_SELECTED(Fill_x64)
WHERRY_PREPARE(Fill_x64) { return PrepareFill(context, 8); }
WHERRY_RUN(Fill_x64) { return RunFill<uint64_t>(context); }
#endif

}  // namespace wherry::kernels
