// Mul: x * y, elementwise with broadcasting; integers wrap.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Mul_f32)
WHERRY_PREPARE(Mul_f32) { return PrepareBinary<BinaryOp::kMul, float>(context); }
WHERRY_RUN(Mul_f32) { return RunBinary<BinaryOp::kMul, float>(context); }
#endif

#if WHERRY_SELECTED(Mul_i32)
WHERRY_PREPARE(Mul_i32) { return PrepareBinary<BinaryOp::kMul, int32_t>(context); }
WHERRY_RUN(Mul_i32) { return RunBinary<BinaryOp::kMul, int32_t>(context); }
#endif

#if WHERRY_SELECTED(Mul_i64)
WHERRY_PREPARE(Mul_i64) { return PrepareBinary<BinaryOp::kMul, int64_t>(context); }
WHERRY_RUN(Mul_i64) { return RunBinary<BinaryOp::kMul, int64_t>(context); }
#endif

}  // namespace wherry::kernels
