// Activations over runs of floats, from the functions of vmath-inl.h.
#include "math/activation.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/activation.cc"
#include "hwy/foreach_target.h"
#include "math/dispatch.h"
#include "math/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

void ActivateRun(Activation activation, float alpha, const float* in, float* out, int64_t count) {
  const MathVector zero = hn::Zero(MathTag());
  switch (activation) {
    case Activation::kNone:
      return MapRun(in, out, count, [](MathVector x) HWY_ATTR { return x; });
    case Activation::kRelu:
      return MapRun(in, out, count, [=](MathVector x) HWY_ATTR { return hn::Max(zero, x); });
    case Activation::kRelu6:
      return MapRun(in, out, count, [](MathVector x) HWY_ATTR { return Clamp(0.0F, x, 6.0F); });
    case Activation::kLeakyRelu: {
      const MathVector slope = hn::Set(MathTag(), alpha);
      return MapRun(in, out, count, [=](MathVector x) HWY_ATTR {
        return hn::IfThenElse(hn::Gt(x, zero), x, hn::Mul(slope, x));
      });
    }
    case Activation::kElu:
      return MapRun(in, out, count, [=](MathVector x) HWY_ATTR {
        return hn::IfThenElse(hn::Lt(x, zero), Expm1(x), x);
      });
    case Activation::kTanh:
      return MapRun(in, out, count, [](MathVector x) HWY_ATTR { return Tanh(x); });
    case Activation::kSigmoid:
      return MapRun(in, out, count, [](MathVector x) HWY_ATTR { return Sigmoid(x); });
    case Activation::kSwish:
      return MapRun(in, out, count, [](MathVector x) HWY_ATTR { return Swish(x); });
    case Activation::kHardSwish:
      return MapRun(in, out, count, [](MathVector x) HWY_ATTR {
        const MathVector gate = Clamp(0.0F, hn::Add(x, Constant(3.0F)), 6.0F);
        return hn::Mul(x, hn::Mul(gate, Constant(1.0F / 6.0F)));
      });
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

void Activate(Activation activation, float alpha, const float* in, float* out, int64_t count, Isa isa) {
  WHERRY_SELECT(isa, ActivateRun)(activation, alpha, in, out, count);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
