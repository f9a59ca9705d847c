// Pow: x to the power of y, elementwise with broadcasting.
#include <cmath>

#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Pow_f32)
WHERRY_PREPARE(Pow_f32) { return PrepareBinary<float, float>(context); }
WHERRY_RUN(Pow_f32) { return RunBinaryScalars<float>(context, [](float x, float y) { return std::pow(x, y); }); }
#endif

}  // namespace wherry::kernels
