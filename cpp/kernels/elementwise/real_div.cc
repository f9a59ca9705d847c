// RealDiv and Div of floats: x / y, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(RealDiv_f32)
WHERRY_PREPARE(RealDiv_f32) { return PrepareBinary<BinaryOp::kDiv, float>(context); }
WHERRY_RUN(RealDiv_f32) { return RunBinary<BinaryOp::kDiv, float>(context); }
#endif

}  // namespace wherry::kernels
