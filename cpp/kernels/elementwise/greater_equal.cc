// GreaterEqual: whether x >= y, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(GreaterEqual_f32)
WHERRY_PREPARE(GreaterEqual_f32) { return PrepareBinary<BinaryOp::kGreaterEqual, float>(context); }
WHERRY_RUN(GreaterEqual_f32) { return RunBinary<BinaryOp::kGreaterEqual, float>(context); }
#endif

#if WHERRY_SELECTED(GreaterEqual_i32)
WHERRY_PREPARE(GreaterEqual_i32) { return PrepareBinary<BinaryOp::kGreaterEqual, int32_t>(context); }
WHERRY_RUN(GreaterEqual_i32) { return RunBinary<BinaryOp::kGreaterEqual, int32_t>(context); }
#endif

#if WHERRY_SELECTED(GreaterEqual_i64)
WHERRY_PREPARE(GreaterEqual_i64) { return PrepareBinary<BinaryOp::kGreaterEqual, int64_t>(context); }
WHERRY_RUN(GreaterEqual_i64) { return RunBinary<BinaryOp::kGreaterEqual, int64_t>(context); }
#endif

}  // namespace wherry::kernels
