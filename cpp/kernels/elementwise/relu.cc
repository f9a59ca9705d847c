// Relu: max(x, 0), elementwise. NaN passes through, as in TensorFlow.
#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Relu_f32)
WHERRY_PREPARE(Relu_f32) {
  context.AllowPitch(1, 1);
  return PrepareUnary(context, DType::kF32, DType::kF32);
}
WHERRY_RUN(Relu_f32) {
  return RunUnaryRows<float, float>(context, [](float x) { return x < 0.0F ? 0.0F : x; });
}
#endif

}  // namespace wherry::kernels
