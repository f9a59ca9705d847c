// LogicalAnd: whether both are true, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(LogicalAnd_b1)
WHERRY_PREPARE(LogicalAnd_b1) { return PrepareBinary<bool, bool>(context); }
WHERRY_RUN(LogicalAnd_b1) { return RunBinary<bool, bool>(context, [](bool x, bool y) { return x && y; }); }
#endif

}  // namespace wherry::kernels
