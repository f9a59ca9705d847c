// Selu: the self-normalising Elu of Klambauer et al. 2017, elementwise.
#include "kernels/elementwise/unary.h"
#include "math/vmath.h"

namespace wherry::kernels {

namespace {

constexpr float kScale = 1.0507009873554805F;
constexpr float kAlpha = 1.6732632423543772F;

}  // namespace

#if WHERRY_SELECTED(Selu_f32)
WHERRY_PREPARE(Selu_f32) { return PrepareUnary(context, DType::kF32, DType::kF32); }
WHERRY_RUN(Selu_f32) {
  return RunUnary<float, float>(context, [](float x) { return kScale * (x < 0.0F ? kAlpha * math::Expm1(x) : x); });
}
#endif

}  // namespace wherry::kernels
