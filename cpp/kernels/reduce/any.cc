// Any: whether any element over axes is true.
#include "kernels/reduce/reduce.h"

namespace wherry::kernels {

namespace {

struct AnyOf {
  using In = bool;
  using Sum = uint8_t;
  using Out = bool;
  static Sum Start() { return 0; }
  static Sum Add(Sum sum, In x) { return static_cast<uint8_t>(sum | static_cast<uint8_t>(x)); }
  static Sum Join(Sum a, Sum b) { return static_cast<uint8_t>(a | b); }
  static Out Finish(Sum sum, int64_t) { return sum != 0; }
};

}  // namespace

#if WHERRY_SELECTED(Any_b1)
WHERRY_PREPARE(Any_b1) { return PrepareReduce(context, kDTypeOf<bool>, kDTypeOf<bool>); }
WHERRY_RUN(Any_b1) { return RunReduce<AnyOf>(context); }
#endif

}  // namespace wherry::kernels
