// Max: the largest element over axes; NaN when there is one.
#include <limits>

#include "kernels/reduce/reduce.h"

namespace wherry::kernels {

namespace {

template <typename T>
struct MaxOf {
  using In = T;
  using Sum = T;
  using Out = T;
  static Sum Start() { return std::numeric_limits<T>::lowest(); }
  static Sum Add(Sum best, In x) { return x > best ? x : best; }
  static Sum Join(Sum a, Sum b) { return Add(a, b); }
  static Out Finish(Sum best, int64_t) { return best; }
};

}  // namespace

#if WHERRY_SELECTED(Max_f32)
WHERRY_PREPARE(Max_f32) { return PrepareReduceFloats(context); }
WHERRY_RUN(Max_f32) { return RunReduceFloats(context, math::MaxOfFloats()); }
#endif

#if WHERRY_SELECTED(Max_i32)
WHERRY_PREPARE(Max_i32) { return PrepareReduce(context, kDTypeOf<int32_t>, kDTypeOf<int32_t>); }
WHERRY_RUN(Max_i32) { return RunReduce<MaxOf<int32_t>>(context); }
#endif

#if WHERRY_SELECTED(Max_i64)
WHERRY_PREPARE(Max_i64) { return PrepareReduce(context, kDTypeOf<int64_t>, kDTypeOf<int64_t>); }
WHERRY_RUN(Max_i64) { return RunReduce<MaxOf<int64_t>>(context); }
#endif

}  // namespace wherry::kernels
