// Mean over axes, global average pooling among them; NaN over nothing.
#include "kernels/reduce/reduce.h"

namespace wherry::kernels {

namespace {

// Sums in double: as exact as float32 can show, in any order.
struct MeanFloat {
  using In = float;
  using Sum = double;
  using Out = float;
  static Sum Start() { return 0.0; }
  static Sum Add(Sum sum, In x) { return sum + static_cast<double>(x); }
  static Sum Join(Sum a, Sum b) { return a + b; }
  static Out Finish(Sum sum, int64_t count) { return static_cast<float>(sum / static_cast<double>(count)); }
};

}  // namespace

#if WHERRY_SELECTED(Mean_f32)
WHERRY_PREPARE(Mean_f32) { return PrepareReduce(context, kDTypeOf<float>, kDTypeOf<float>); }
WHERRY_RUN(Mean_f32) { return RunReduce<MeanFloat>(context); }
#endif

}  // namespace wherry::kernels
