// DivNoNan: x / y, but 0 where y is 0, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(DivNoNan_f32)
WHERRY_PREPARE(DivNoNan_f32) { return PrepareBinary<float, float>(context); }
WHERRY_RUN(DivNoNan_f32) {
  return RunBinary<float, float>(context, [](float x, float y) { return y == 0.0F ? 0.0F : x / y; });
}
#endif

}  // namespace wherry::kernels
