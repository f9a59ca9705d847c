// DivNoNan: x / y, but 0 where y is 0, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(DivNoNan_f32)
WHERRY_PREPARE(DivNoNan_f32) { return PrepareBinary<BinaryOp::kDivNoNan, float>(context); }
WHERRY_RUN(DivNoNan_f32) { return RunBinary<BinaryOp::kDivNoNan, float>(context); }
#endif

}  // namespace wherry::kernels
