// LSTM cells from the functions of vmath-inl.h, in one pass.
#include "math/lstm_cell.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/lstm_cell.cc"
#include "hwy/foreach_target.h"
#include "math/dispatch.h"
#include "math/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

template <bool kPeepholes>
void LstmLoop(const LstmUnits& units, const LstmPeepholes& peepholes, float forget_bias, float clip, int64_t count) {
  MapVectors(count, [&](const auto& load, const auto& store) HWY_ATTR {
    const MathVector old = load(units.cs);
    MathVector i = load(units.i);
    MathVector f = load(units.f);
    if constexpr (kPeepholes) {
      i = hn::MulAdd(old, load(peepholes.wci), i);
      f = hn::MulAdd(old, load(peepholes.wcf), f);
    }
    i = Sigmoid(i);
    f = Sigmoid(hn::Add(f, Constant(forget_bias)));
    const MathVector ci = Tanh(load(units.ci));
    const MathVector cs = Clamp(-clip, hn::MulAdd(ci, i, hn::Mul(f, old)), clip);
    MathVector o = load(units.o);
    if constexpr (kPeepholes) o = hn::MulAdd(cs, load(peepholes.wco), o);
    o = Sigmoid(o);
    const MathVector co = Tanh(cs);
    store(i, units.i);
    store(ci, units.ci);
    store(f, units.f);
    store(o, units.o);
    store(cs, units.cs);
    store(co, units.co);
    store(hn::Mul(o, co), units.h);
  });
}

void LstmCellRun(const LstmUnits& units, const LstmPeepholes& peepholes, float forget_bias, float clip,
                 int64_t count) {
  if (peepholes.wci != nullptr) {
    LstmLoop<true>(units, peepholes, forget_bias, clip, count);
  } else {
    LstmLoop<false>(units, peepholes, forget_bias, clip, count);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

void RunLstmCell(const LstmUnits& units, const LstmPeepholes& peepholes, float forget_bias, float clip, int64_t count,
                 Isa isa) {
  WHERRY_SELECT(isa, LstmCellRun)(units, peepholes, forget_bias, clip, count);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
