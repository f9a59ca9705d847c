// AddV2 and Add: x + y, elementwise with broadcasting; integers wrap.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(AddV2_f32)
WHERRY_PREPARE(AddV2_f32) { return PrepareBinary<BinaryOp::kAdd, float>(context); }
WHERRY_RUN(AddV2_f32) { return RunBinary<BinaryOp::kAdd, float>(context); }
#endif

#if WHERRY_SELECTED(AddV2_i32)
WHERRY_PREPARE(AddV2_i32) { return PrepareBinary<BinaryOp::kAdd, int32_t>(context); }
WHERRY_RUN(AddV2_i32) { return RunBinary<BinaryOp::kAdd, int32_t>(context); }
#endif

#if WHERRY_SELECTED(AddV2_i64)
WHERRY_PREPARE(AddV2_i64) { return PrepareBinary<BinaryOp::kAdd, int64_t>(context); }
WHERRY_RUN(AddV2_i64) { return RunBinary<BinaryOp::kAdd, int64_t>(context); }
#endif

}  // namespace wherry::kernels
