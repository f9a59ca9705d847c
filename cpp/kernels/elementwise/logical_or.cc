// LogicalOr: whether either is true, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(LogicalOr_b1)
WHERRY_PREPARE(LogicalOr_b1) { return PrepareBinary<BinaryOp::kOr, bool>(context); }
WHERRY_RUN(LogicalOr_b1) { return RunBinary<BinaryOp::kOr, bool>(context); }
#endif

}  // namespace wherry::kernels
