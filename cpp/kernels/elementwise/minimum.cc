// Minimum: the smaller of x and y, elementwise with broadcasting; NaN when either is NaN.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Minimum_f32)
WHERRY_PREPARE(Minimum_f32) { return PrepareBinary<BinaryOp::kMin, float>(context); }
WHERRY_RUN(Minimum_f32) { return RunBinary<BinaryOp::kMin, float>(context); }
#endif

#if WHERRY_SELECTED(Minimum_i32)
WHERRY_PREPARE(Minimum_i32) { return PrepareBinary<BinaryOp::kMin, int32_t>(context); }
WHERRY_RUN(Minimum_i32) { return RunBinary<BinaryOp::kMin, int32_t>(context); }
#endif

#if WHERRY_SELECTED(Minimum_i64)
WHERRY_PREPARE(Minimum_i64) { return PrepareBinary<BinaryOp::kMin, int64_t>(context); }
WHERRY_RUN(Minimum_i64) { return RunBinary<BinaryOp::kMin, int64_t>(context); }
#endif

}  // namespace wherry::kernels
