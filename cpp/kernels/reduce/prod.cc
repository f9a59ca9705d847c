// Prod: the product over axes.
#include <type_traits>

#include "kernels/reduce/reduce.h"

namespace wherry::kernels {

namespace {

struct ProdFloat {
  using In = float;
  using Sum = float;
  using Out = float;
  static Sum Start() { return 1.0F; }
  static Sum Add(Sum product, In x) { return product * x; }
  static Sum Join(Sum a, Sum b) { return a * b; }
  static Out Finish(Sum product, int64_t) { return product; }
};

// Integers wrap.
template <typename T>
struct ProdInteger {
  using In = T;
  using Sum = std::make_unsigned_t<T>;
  using Out = T;
  static Sum Start() { return 1; }
  static Sum Add(Sum sum, In x) { return sum * static_cast<Sum>(x); }
  static Sum Join(Sum a, Sum b) { return a * b; }
  static Out Finish(Sum sum, int64_t) { return static_cast<T>(sum); }
};

}  // namespace

#if WHERRY_SELECTED(Prod_f32)
WHERRY_PREPARE(Prod_f32) { return PrepareReduce(context, kDTypeOf<float>, kDTypeOf<float>); }
WHERRY_RUN(Prod_f32) { return RunReduce<ProdFloat>(context); }
#endif

#if WHERRY_SELECTED(Prod_i32)
WHERRY_PREPARE(Prod_i32) { return PrepareReduce(context, kDTypeOf<int32_t>, kDTypeOf<int32_t>); }
WHERRY_RUN(Prod_i32) { return RunReduce<ProdInteger<int32_t>>(context); }
#endif

}  // namespace wherry::kernels
