// ClipByValue: min(max(x, low), high), elementwise; low and high are one number each or of x's shape. NaN stays.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

namespace {

template <typename T>
Status PrepareClip(PrepareContext& context) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(3, 1));
  WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(0, kDTypeOf<T>));
  for (int i = 0; i < 3; ++i) {
    WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, i, kDTypeOf<T>));
    if (!context.input(i).SameShape(context.output(0)) && (i == 0 || context.input(i).count() != 1)) {
      return context.Fail(Code::kCorrupt, "input %d has neither the output's shape nor one element", i);
    }
  }
  return Status::Ok();
}

template <typename T>
Status RunClip(RunContext& context) {
  const int64_t count = context.output(0).count();
  const T* x = context.input(0).as<const T>();
  const T* low = context.input(1).as<const T>();
  const T* high = context.input(2).as<const T>();
  T* out = context.output(0).as<T>();
  const int64_t low_step = context.input(1).count() == 1 ? 0 : 1;
  const int64_t high_step = context.input(2).count() == 1 ? 0 : 1;
  context.threads().ForRange(count, kElementwiseGrain, [&](int64_t begin, int64_t end, int) {
    if (low_step == 0 && high_step == 0) {
      const T bottom = *low;
      const T top = *high;
      WHERRY_VECTORIZE
      for (int64_t i = begin; i < end; ++i) {
        const T raised = x[i] < bottom ? bottom : x[i];
        out[i] = raised > top ? top : raised;
      }
      return;
    }
    for (int64_t i = begin; i < end; ++i) {
      const T bottom = low[i * low_step];
      const T top = high[i * high_step];
      const T raised = x[i] < bottom ? bottom : x[i];
      out[i] = raised > top ? top : raised;
    }
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(ClipByValue_f32)
WHERRY_PREPARE(ClipByValue_f32) { return PrepareClip<float>(context); }
WHERRY_RUN(ClipByValue_f32) { return RunClip<float>(context); }
#endif

#if WHERRY_SELECTED(ClipByValue_i32)
WHERRY_PREPARE(ClipByValue_i32) { return PrepareClip<int32_t>(context); }
WHERRY_RUN(ClipByValue_i32) { return RunClip<int32_t>(context); }
#endif

}  // namespace wherry::kernels
