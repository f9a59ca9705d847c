// NotEqual: whether x != y, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(NotEqual_f32)
WHERRY_PREPARE(NotEqual_f32) { return PrepareBinary<BinaryOp::kNotEqual, float>(context); }
WHERRY_RUN(NotEqual_f32) { return RunBinary<BinaryOp::kNotEqual, float>(context); }
#endif

#if WHERRY_SELECTED(NotEqual_i32)
WHERRY_PREPARE(NotEqual_i32) { return PrepareBinary<BinaryOp::kNotEqual, int32_t>(context); }
WHERRY_RUN(NotEqual_i32) { return RunBinary<BinaryOp::kNotEqual, int32_t>(context); }
#endif

#if WHERRY_SELECTED(NotEqual_i64)
WHERRY_PREPARE(NotEqual_i64) { return PrepareBinary<BinaryOp::kNotEqual, int64_t>(context); }
WHERRY_RUN(NotEqual_i64) { return RunBinary<BinaryOp::kNotEqual, int64_t>(context); }
#endif

#if WHERRY_SELECTED(NotEqual_b1)
WHERRY_PREPARE(NotEqual_b1) { return PrepareBinary<BinaryOp::kNotEqual, bool>(context); }
WHERRY_RUN(NotEqual_b1) { return RunBinary<BinaryOp::kNotEqual, bool>(context); }
#endif

}  // namespace wherry::kernels
