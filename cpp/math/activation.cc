// Activations over runs of floats, from the formulas of vmath.h; the compiler vectorises each loop for each instruction
// set. No contraction, so the bits are the same for all of them.
#include "math/activation.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/activation.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"
#include "math/vectorize.h"
#include "math/vmath.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

void ActivateRun(Activation activation, float alpha, float* values, int64_t count) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kRelu:
      WHERRY_VECTORIZE
      for (int64_t i = 0; i < count; ++i) values[i] = values[i] < 0.0F ? 0.0F : values[i];
      return;
    case Activation::kRelu6:
      WHERRY_VECTORIZE
      for (int64_t i = 0; i < count; ++i) {
        const float x = values[i] < 0.0F ? 0.0F : values[i];
        values[i] = x > 6.0F ? 6.0F : x;
      }
      return;
    case Activation::kLeakyRelu:
      WHERRY_VECTORIZE
      for (int64_t i = 0; i < count; ++i) values[i] = values[i] > 0.0F ? values[i] : alpha * values[i];
      return;
    case Activation::kElu:
      WHERRY_VECTORIZE
      for (int64_t i = 0; i < count; ++i) values[i] = values[i] < 0.0F ? Expm1(values[i]) : values[i];
      return;
    case Activation::kTanh:
      WHERRY_VECTORIZE
      for (int64_t i = 0; i < count; ++i) values[i] = Tanh(values[i]);
      return;
    case Activation::kSigmoid:
      WHERRY_VECTORIZE
      for (int64_t i = 0; i < count; ++i) values[i] = Sigmoid(values[i]);
      return;
    case Activation::kSwish:
      WHERRY_VECTORIZE
      for (int64_t i = 0; i < count; ++i) values[i] = values[i] * Sigmoid(values[i]);
      return;
    case Activation::kHardSwish:
      WHERRY_VECTORIZE
      for (int64_t i = 0; i < count; ++i) {
        float gate = values[i] + 3.0F;
        gate = gate < 0.0F ? 0.0F : gate;
        gate = gate > 6.0F ? 6.0F : gate;
        values[i] = values[i] * (gate * (1.0F / 6.0F));
      }
      return;
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

void Activate(Activation activation, float alpha, float* values, int64_t count, Isa isa) {
  WHERRY_SELECT(isa, ActivateRun)(activation, alpha, values, count);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
