// LeakyRelu: x where x > 0, else alpha * x, elementwise. Attribute alpha (0.2 when absent).
#include "kernels/elementwise/activate.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(LeakyRelu_f32)
WHERRY_PREPARE(LeakyRelu_f32) {
  WHERRY_RETURN_IF_ERROR(PrepareUnary(context, DType::kF32, DType::kF32));
  context.params<float>() = static_cast<float>(context.attrs().Float("alpha", 0.2));
  return Status::Ok();
}
WHERRY_RUN(LeakyRelu_f32) { return RunActivation(context, math::Activation::kLeakyRelu, context.params<float>()); }
#endif

}  // namespace wherry::kernels
