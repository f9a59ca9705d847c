// All: whether every element over axes is true.
#include "kernels/reduce/reduce.h"

namespace wherry::kernels {

namespace {

struct AllOf {
  using In = bool;
  using Sum = uint8_t;
  using Out = bool;
  static Sum Start() { return 1; }
  static Sum Add(Sum sum, In x) { return static_cast<uint8_t>(sum & static_cast<uint8_t>(x)); }
  static Sum Join(Sum a, Sum b) { return static_cast<uint8_t>(a & b); }
  static Out Finish(Sum sum, int64_t) { return sum != 0; }
};

}  // namespace

#if WHERRY_SELECTED(All_b1)
WHERRY_PREPARE(All_b1) { return PrepareReduce(context, kDTypeOf<bool>, kDTypeOf<bool>); }
WHERRY_RUN(All_b1) { return RunReduce<AllOf>(context); }
#endif

}  // namespace wherry::kernels
