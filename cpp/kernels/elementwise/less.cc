// Less: whether x < y, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Less_f32)
WHERRY_PREPARE(Less_f32) { return PrepareBinary<BinaryOp::kLess, float>(context); }
WHERRY_RUN(Less_f32) { return RunBinary<BinaryOp::kLess, float>(context); }
#endif

#if WHERRY_SELECTED(Less_i32)
WHERRY_PREPARE(Less_i32) { return PrepareBinary<BinaryOp::kLess, int32_t>(context); }
WHERRY_RUN(Less_i32) { return RunBinary<BinaryOp::kLess, int32_t>(context); }
#endif

#if WHERRY_SELECTED(Less_i64)
WHERRY_PREPARE(Less_i64) { return PrepareBinary<BinaryOp::kLess, int64_t>(context); }
WHERRY_RUN(Less_i64) { return RunBinary<BinaryOp::kLess, int64_t>(context); }
#endif

}  // namespace wherry::kernels
