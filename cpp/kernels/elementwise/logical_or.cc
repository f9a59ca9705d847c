// LogicalOr: whether either is true, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(LogicalOr_b1)
WHERRY_PREPARE(LogicalOr_b1) { return PrepareBinary<bool, bool>(context); }
WHERRY_RUN(LogicalOr_b1) { return RunBinary<bool, bool>(context, [](bool x, bool y) { return x || y; }); }
#endif

}  // namespace wherry::kernels
