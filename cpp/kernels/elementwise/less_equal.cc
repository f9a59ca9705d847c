// LessEqual: whether x <= y, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(LessEqual_f32)
WHERRY_PREPARE(LessEqual_f32) { return PrepareBinary<BinaryOp::kLessEqual, float>(context); }
WHERRY_RUN(LessEqual_f32) { return RunBinary<BinaryOp::kLessEqual, float>(context); }
#endif

#if WHERRY_SELECTED(LessEqual_i32)
WHERRY_PREPARE(LessEqual_i32) { return PrepareBinary<BinaryOp::kLessEqual, int32_t>(context); }
WHERRY_RUN(LessEqual_i32) { return RunBinary<BinaryOp::kLessEqual, int32_t>(context); }
#endif

#if WHERRY_SELECTED(LessEqual_i64)
WHERRY_PREPARE(LessEqual_i64) { return PrepareBinary<BinaryOp::kLessEqual, int64_t>(context); }
WHERRY_RUN(LessEqual_i64) { return RunBinary<BinaryOp::kLessEqual, int64_t>(context); }
#endif

}  // namespace wherry::kernels
