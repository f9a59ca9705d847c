// LSTM cells from the functions of vmath-inl.h, in one pass.
#include "math/lstm_cell.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/lstm_cell.cc"
#include "hwy/foreach_target.h"
#include "math/code_sums-inl.h"
#include "math/codes-inl.h"
#include "math/dispatch.h"
#include "math/panels.h"
#include "math/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

// For units of one row; load and store as MapVectors gives them, gate(g) has the sums of gate g.
template <bool kPeepholes, class Gate, class Load, class Store>
HWY_INLINE void LstmVector(const LstmCell& cell, int64_t row, int64_t unit, const Gate& gate, const Load& load,
                           const Store& store) {
  const int64_t at = row * cell.units + unit;
  const MathVector old = load(cell.cs + at);
  MathVector i = gate(cell.order.i);
  MathVector f = gate(cell.order.f);
  if constexpr (kPeepholes) {
    i = hn::MulAdd(old, load(cell.peepholes.wci + unit), i);
    f = hn::MulAdd(old, load(cell.peepholes.wcf + unit), f);
  }
  i = Sigmoid(i);
  f = Sigmoid(hn::Add(f, Constant(cell.forget_bias)));
  const MathVector ci = Tanh(gate(cell.order.ci));
  const MathVector cs = Clamp(-cell.clip, hn::MulAdd(ci, i, hn::Mul(f, old)), cell.clip);
  MathVector o = gate(cell.order.o);
  if constexpr (kPeepholes) o = hn::MulAdd(cs, load(cell.peepholes.wco + unit), o);
  o = Sigmoid(o);
  const MathVector co = Tanh(cs);
  const MathVector h = hn::Mul(o, co);
  store(cs, cell.cs + at);
  store(h, cell.h + at);
  const auto keep = [&](LstmValue value, MathVector v) HWY_ATTR {
    if (cell.values[value] != nullptr) store(v, cell.values[value] + at);
  };
  keep(kLstmI, i);
  keep(kLstmCs, cs);
  keep(kLstmF, f);
  keep(kLstmO, o);
  keep(kLstmCi, ci);
  keep(kLstmCo, co);
  keep(kLstmH, h);
}

template <bool kPeepholes>
void LstmFloats(const LstmCell& cell, const float* sums, int64_t stride, int64_t row, int64_t unit, int64_t count) {
  MapVectors(count, [&](const auto& load, const auto& store) HWY_ATTR {
    const auto gate = [&](int g) HWY_ATTR { return load(sums + g * stride); };
    LstmVector<kPeepholes>(cell, row, unit, gate, load, store);
  });
}

template <bool kPeepholes, int kPlanes>
void LstmCodes(const LstmCell& cell, const LstmCodeSums& sums, int64_t row, int64_t unit) {
  constexpr int64_t kGates = 4;
  const CodeSumTag32 d32;
  const MathVector scale_a = Constant(sums.read.scale);
  MapVectors(kPanelColumns, [&](const auto& load, const auto& store) HWY_ATTR {
    const auto gate = [&](int g) HWY_ATTR {
      const int64_t column = g * cell.units + unit;
      const int32_t* const found = sums.codes + g * kPanelColumns;
      const CodeSumVector32 sum_b = RoundInRange(load(sums.sums + column));
      const CodeSumVector32 low = kPlanes == 1 ? hn::Zero(d32) : load(found + kGates * kPanelColumns);
      const MathVector sum = JoinedSums<kPlanes>(load(found), HighShift<kPlanes>(sums.read.zero, sum_b), low,
                                                 LowShift(sums.read.zero, sum_b));
      const MathVector value = hn::Mul(sum, hn::Mul(scale_a, load(sums.scale + column)));
      return hn::Add(value, load(sums.input + column));
    };
    LstmVector<kPeepholes>(cell, row, unit, gate, load, store);
  });
}

void LstmFloatCell(const LstmCell& cell, const float* sums, int64_t stride, int64_t row, int64_t unit, int64_t count) {
  const bool peepholes = cell.peepholes.wci != nullptr;
  (peepholes ? &LstmFloats<true> : &LstmFloats<false>)(cell, sums, stride, row, unit, count);
}

void LstmCodeCell(const LstmCell& cell, const LstmCodeSums& sums, int64_t row, int64_t unit) {
  if (cell.peepholes.wci != nullptr) {
    (sums.planes == 1 ? &LstmCodes<true, 1> : &LstmCodes<true, 2>)(cell, sums, row, unit);
  } else {
    (sums.planes == 1 ? &LstmCodes<false, 1> : &LstmCodes<false, 2>)(cell, sums, row, unit);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

void RunLstmCell(const LstmCell& cell, const float* sums, int64_t stride, int64_t row, int64_t unit, int64_t count,
                 Isa isa) {
  WHERRY_SELECT(isa, LstmFloatCell)(cell, sums, stride, row, unit, count);
}

void RunLstmCodeCell(const LstmCell& cell, const LstmCodeSums& sums, int64_t row, int64_t unit, Isa isa) {
  WHERRY_SELECT(isa, LstmCodeCell)(cell, sums, row, unit);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
