// Maximum: the larger of x and y, elementwise with broadcasting; NaN when either is NaN.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Maximum_f32)
WHERRY_PREPARE(Maximum_f32) { return PrepareBinary<BinaryOp::kMax, float>(context); }
WHERRY_RUN(Maximum_f32) { return RunBinary<BinaryOp::kMax, float>(context); }
#endif

#if WHERRY_SELECTED(Maximum_i32)
WHERRY_PREPARE(Maximum_i32) { return PrepareBinary<BinaryOp::kMax, int32_t>(context); }
WHERRY_RUN(Maximum_i32) { return RunBinary<BinaryOp::kMax, int32_t>(context); }
#endif

#if WHERRY_SELECTED(Maximum_i64)
WHERRY_PREPARE(Maximum_i64) { return PrepareBinary<BinaryOp::kMax, int64_t>(context); }
WHERRY_RUN(Maximum_i64) { return RunBinary<BinaryOp::kMax, int64_t>(context); }
#endif

}  // namespace wherry::kernels
