// SquaredDifference: (x - y)^2, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(SquaredDifference_f32)
WHERRY_PREPARE(SquaredDifference_f32) { return PrepareBinary<BinaryOp::kSquaredDifference, float>(context); }
WHERRY_RUN(SquaredDifference_f32) { return RunBinary<BinaryOp::kSquaredDifference, float>(context); }
#endif

#if WHERRY_SELECTED(SquaredDifference_i32)
WHERRY_PREPARE(SquaredDifference_i32) { return PrepareBinary<BinaryOp::kSquaredDifference, int32_t>(context); }
WHERRY_RUN(SquaredDifference_i32) { return RunBinary<BinaryOp::kSquaredDifference, int32_t>(context); }
#endif

}  // namespace wherry::kernels
