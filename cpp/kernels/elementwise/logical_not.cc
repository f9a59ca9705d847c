// LogicalNot: the opposite, elementwise.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(LogicalNot_b1)
WHERRY_PREPARE(LogicalNot_b1) { return PrepareUnary(context, DType::kBool, DType::kBool); }
WHERRY_RUN(LogicalNot_b1) { return RunUnary<bool, bool>(context, [](bool x) { return !x; }); }
#endif

}  // namespace wherry::kernels
