// Greater: whether x > y, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Greater_f32)
WHERRY_PREPARE(Greater_f32) { return PrepareBinary<BinaryOp::kGreater, float>(context); }
WHERRY_RUN(Greater_f32) { return RunBinary<BinaryOp::kGreater, float>(context); }
#endif

#if WHERRY_SELECTED(Greater_i32)
WHERRY_PREPARE(Greater_i32) { return PrepareBinary<BinaryOp::kGreater, int32_t>(context); }
WHERRY_RUN(Greater_i32) { return RunBinary<BinaryOp::kGreater, int32_t>(context); }
#endif

#if WHERRY_SELECTED(Greater_i64)
WHERRY_PREPARE(Greater_i64) { return PrepareBinary<BinaryOp::kGreater, int64_t>(context); }
WHERRY_RUN(Greater_i64) { return RunBinary<BinaryOp::kGreater, int64_t>(context); }
#endif

}  // namespace wherry::kernels
