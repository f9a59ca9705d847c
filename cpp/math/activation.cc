// Activations over runs of floats, from the functions of vmath-inl.h.
#include "math/activation.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/activation.cc"
#include "hwy/foreach_target.h"
#include "math/dispatch.h"
#include "math/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

template <class F>
HWY_INLINE void MapRows(const FloatRows& rows, const F& f) {
  const float* in = rows.in;
  float* out = rows.out;
  for (int64_t left = rows.rows; left > 0; --left, in += rows.stride, out += rows.stride) MapRun(in, out, rows.count, f);
}

void ActivateAll(Activation activation, float alpha, const FloatRows& rows) {
  const MathVector zero = hn::Zero(MathTag());
  switch (activation) {
    case Activation::kNone:
      return MapRows(rows, [](MathVector x) HWY_ATTR { return x; });
    case Activation::kRelu:
      return MapRows(rows, [=](MathVector x) HWY_ATTR { return hn::Max(zero, x); });
    case Activation::kRelu6:
      return MapRows(rows, [](MathVector x) HWY_ATTR { return Clamp(0.0F, x, 6.0F); });
    case Activation::kLeakyRelu: {
      const MathVector slope = hn::Set(MathTag(), alpha);
      return MapRows(rows, [=](MathVector x) HWY_ATTR {
        return hn::IfThenElse(hn::Gt(x, zero), x, hn::Mul(slope, x));
      });
    }
    case Activation::kElu:
      return MapRows(rows, [=](MathVector x) HWY_ATTR {
        return hn::IfThenElse(hn::Lt(x, zero), Expm1(x), x);
      });
    case Activation::kTanh:
      return MapRows(rows, [](MathVector x) HWY_ATTR { return Tanh(x); });
    case Activation::kSigmoid:
      return MapRows(rows, [](MathVector x) HWY_ATTR { return Sigmoid(x); });
    case Activation::kSwish:
      return MapRows(rows, [](MathVector x) HWY_ATTR { return Swish(x); });
    case Activation::kFastSwish:
      return MapRows(rows, [](MathVector x) HWY_ATTR { return FastSwish(x); });
    case Activation::kHardSwish:
      return MapRows(rows, [](MathVector x) HWY_ATTR {
        const MathVector gate = Clamp(0.0F, hn::Add(x, Constant(3.0F)), 6.0F);
        return hn::Mul(x, hn::Mul(gate, Constant(1.0F / 6.0F)));
      });
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

void Activate(Activation activation, float alpha, const FloatRows& rows, Isa isa) {
  const bool one = rows.stride == rows.count;
  const FloatRows joined = {rows.in, rows.out, rows.stride, 1, rows.rows * rows.count};
  WHERRY_SELECT(isa, ActivateAll)(activation, alpha, one ? joined : rows);
}

void Activate(Activation activation, float alpha, const float* in, float* out, int64_t count, Isa isa) {
  Activate(activation, alpha, {in, out, count, 1, count}, isa);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
