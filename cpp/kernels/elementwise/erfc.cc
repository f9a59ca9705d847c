// Erfc: one less the error function, elementwise, as Keras's exact GELU takes it.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Erfc_f32)
WHERRY_PREPARE(Erfc_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Erfc_f32) { return RunFunction(context, math::ErfcOfFloats(context.isa())); }
#endif

}  // namespace wherry::kernels
