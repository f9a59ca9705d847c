// Equal: whether x == y, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Equal_f32)
WHERRY_PREPARE(Equal_f32) { return PrepareBinary<BinaryOp::kEqual, float>(context); }
WHERRY_RUN(Equal_f32) { return RunBinary<BinaryOp::kEqual, float>(context); }
#endif

#if WHERRY_SELECTED(Equal_i32)
WHERRY_PREPARE(Equal_i32) { return PrepareBinary<BinaryOp::kEqual, int32_t>(context); }
WHERRY_RUN(Equal_i32) { return RunBinary<BinaryOp::kEqual, int32_t>(context); }
#endif

#if WHERRY_SELECTED(Equal_i64)
WHERRY_PREPARE(Equal_i64) { return PrepareBinary<BinaryOp::kEqual, int64_t>(context); }
WHERRY_RUN(Equal_i64) { return RunBinary<BinaryOp::kEqual, int64_t>(context); }
#endif

#if WHERRY_SELECTED(Equal_b1)
WHERRY_PREPARE(Equal_b1) { return PrepareBinary<BinaryOp::kEqual, bool>(context); }
WHERRY_RUN(Equal_b1) { return RunBinary<BinaryOp::kEqual, bool>(context); }
#endif

}  // namespace wherry::kernels
