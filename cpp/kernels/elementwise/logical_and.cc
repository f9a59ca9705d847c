// LogicalAnd: whether both are true, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(LogicalAnd_b1)
WHERRY_PREPARE(LogicalAnd_b1) { return PrepareBinary<BinaryOp::kAnd, bool>(context); }
WHERRY_RUN(LogicalAnd_b1) { return RunBinary<BinaryOp::kAnd, bool>(context); }
#endif

}  // namespace wherry::kernels
