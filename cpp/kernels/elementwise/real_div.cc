// RealDiv and Div of floats: x / y, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(RealDiv_f32)
WHERRY_PREPARE(RealDiv_f32) { return PrepareBinary<float, float>(context); }
WHERRY_RUN(RealDiv_f32) { return RunBinary<float, float>(context, [](float x, float y) { return x / y; }); }
#endif

}  // namespace wherry::kernels
