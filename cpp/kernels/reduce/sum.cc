// Sum over axes.
#include <type_traits>

#include "kernels/reduce/reduce.h"

namespace wherry::kernels {

namespace {

// Integers wrap.
template <typename T>
struct SumInteger {
  using In = T;
  using Sum = std::make_unsigned_t<T>;
  using Out = T;
  static Sum Start() { return 0; }
  static Sum Add(Sum sum, In x) { return sum + static_cast<Sum>(x); }
  static Sum Join(Sum a, Sum b) { return a + b; }
  static Out Finish(Sum sum, int64_t) { return static_cast<T>(sum); }
};

}  // namespace

#if WHERRY_SELECTED(Sum_f32)
WHERRY_PREPARE(Sum_f32) { return PrepareReduceFloats(context); }
WHERRY_RUN(Sum_f32) { return RunReduceFloats(context, math::SumOfFloats()); }
#endif

#if WHERRY_SELECTED(Sum_i32)
WHERRY_PREPARE(Sum_i32) { return PrepareReduce(context, kDTypeOf<int32_t>, kDTypeOf<int32_t>); }
WHERRY_RUN(Sum_i32) { return RunReduce<SumInteger<int32_t>>(context); }
#endif

#if WHERRY_SELECTED(Sum_i64)
WHERRY_PREPARE(Sum_i64) { return PrepareReduce(context, kDTypeOf<int64_t>, kDTypeOf<int64_t>); }
WHERRY_RUN(Sum_i64) { return RunReduce<SumInteger<int64_t>>(context); }
#endif

}  // namespace wherry::kernels
