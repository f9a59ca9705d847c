// Sub: x - y, elementwise with broadcasting; integers wrap.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Sub_f32)
WHERRY_PREPARE(Sub_f32) { return PrepareBinary<BinaryOp::kSub, float>(context); }
WHERRY_RUN(Sub_f32) { return RunBinary<BinaryOp::kSub, float>(context); }
#endif

#if WHERRY_SELECTED(Sub_i32)
WHERRY_PREPARE(Sub_i32) { return PrepareBinary<BinaryOp::kSub, int32_t>(context); }
WHERRY_RUN(Sub_i32) { return RunBinary<BinaryOp::kSub, int32_t>(context); }
#endif

#if WHERRY_SELECTED(Sub_i64)
WHERRY_PREPARE(Sub_i64) { return PrepareBinary<BinaryOp::kSub, int64_t>(context); }
WHERRY_RUN(Sub_i64) { return RunBinary<BinaryOp::kSub, int64_t>(context); }
#endif

}  // namespace wherry::kernels
