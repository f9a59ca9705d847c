// LSTM cells from the functions of vmath-inl.h, in one pass.
#include "math/lstm_cell.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/lstm_cell.cc"
#include "hwy/foreach_target.h"
#include "math/code_sums-inl.h"
#include "math/codes-inl.h"
#include "math/dispatch.h"
#include "math/panels.h"
#include "math/vmath-inl.h"

#ifndef WHERRY_LSTM_CODE_ROWS
// clang checks assembly against the instruction sets of the whole file.
#if HWY_ARCH_X86 && HWY_COMPILER_GCC_ACTUAL && defined(WHERRY_ISA_AVX512VNNI)
#define WHERRY_LSTM_CODE_ROWS 1
#else
#define WHERRY_LSTM_CODE_ROWS 0
#endif
#endif

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

// How often LstmVector calls `between`.
inline constexpr int64_t kLstmPauses = 8;

struct NothingBetween {
  HWY_INLINE void operator()() const {}
};

// For units of one row; load and store as MapVectors gives them, gate(g) has the sums of gate g. between() may do something
// else: a cell is one long chain that a core would wait for.
template <bool kPeepholes, class Gate, class Load, class Store, class Between = NothingBetween>
HWY_INLINE void LstmVector(const LstmCell& cell, int64_t row, int64_t unit, const Gate& gate, const Load& load,
                           const Store& store, Between&& between = {}) {
  const int64_t at = row * cell.units + unit;
  const MathVector old = load(cell.cs + at);
  MathVector i = gate(cell.order.i);
  MathVector f = gate(cell.order.f);
  if constexpr (kPeepholes) {
    i = hn::MulAdd(old, load(cell.peepholes.wci + unit), i);
    f = hn::MulAdd(old, load(cell.peepholes.wcf + unit), f);
  }
  between();
  MathVector ci = gate(cell.order.ci);
  MathVector o = gate(cell.order.o);
  between();
  i = Sigmoid(i);
  between();
  f = Sigmoid(hn::Add(f, Constant(cell.forget_bias)));
  between();
  ci = Tanh(ci);
  between();
  const MathVector cs = Clamp(-cell.clip, hn::MulAdd(ci, i, hn::Mul(f, old)), cell.clip);
  if constexpr (kPeepholes) o = hn::MulAdd(cs, load(cell.peepholes.wco + unit), o);
  between();
  const MathVector co = Tanh(cs);
  between();
  o = Sigmoid(o);
  between();
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

inline constexpr int64_t kCellGates = 4;

// The sums of gate g in float32.
template <int kPlanes, class Load>
HWY_INLINE MathVector CodeGate(const LstmCell& cell, const LstmCodeSums& sums, int64_t unit, int g, const Load& load) {
  const CodeSumTag32 d32;
  const int64_t column = g * cell.units + unit;
  const int32_t* const found = sums.codes + g * kPanelColumns;
  const CodeSumVector32 sum_b = RoundInRange(load(sums.sums + column));
  const CodeSumVector32 low = kPlanes == 1 ? hn::Zero(d32) : load(found + kCellGates * kPanelColumns);
  const MathVector sum = JoinedSums<kPlanes>(load(found), HighShift<kPlanes>(sums.read.zero, sum_b), low,
                                             LowShift(sums.read.zero, sum_b));
  const MathVector value = hn::Mul(sum, hn::Mul(Constant(sums.read.scale), load(sums.scale + column)));
  return hn::Add(value, load(sums.input + column));
}

template <bool kPeepholes, int kPlanes>
void LstmCodes(const LstmCell& cell, const LstmCodeSums& sums, int64_t row, int64_t unit) {
  MapVectors(kPanelColumns, [&](const auto& load, const auto& store) HWY_ATTR {
    const auto gate = [&](int g) HWY_ATTR { return CodeGate<kPlanes>(cell, sums, unit, g, load); };
    LstmVector<kPeepholes>(cell, row, unit, gate, load, store);
  });
}

#if HWY_TARGET == HWY_AVX3 && WHERRY_LSTM_CODE_ROWS
// Products of a row of codes with four panels, a stretch at a time. Sums stay in registers meanwhile.
class CodeStretches {
 public:
  CodeStretches(const uint8_t* a, const int8_t* b, int64_t stride, int64_t groups)
      : a_(a),
        b0_(b),
        b1_(b + stride),
        b2_(b + 2 * stride),
        b3_(b + 3 * stride),
        left_(groups),
        stretch_((groups / 4 + kLstmPauses - 1) / kLstmPauses) {}

  HWY_INLINE void operator()() { Run(stretch_); }
  // What is left, and then the sums.
  HWY_INLINE void Finish(int32_t* sums) {
    Run(left_);
    while (left_ > 0) {
      Add<0>();
      Advance(1);
    }
    _mm512_storeu_si512(sums, sum0_);
    _mm512_storeu_si512(sums + kPanelColumns, sum1_);
    _mm512_storeu_si512(sums + 2 * kPanelColumns, sum2_);
    _mm512_storeu_si512(sums + 3 * kPanelColumns, sum3_);
  }

 private:
  // Four groups at a time, as long as there are so many.
  HWY_INLINE void Run(int64_t fours) {
    for (fours = std::min(fours, left_ / 4); fours > 0; --fours) {
      Add<0>();
      Add<1>();
      Add<2>();
      Add<3>();
      Advance(4);
    }
  }
  template <int kGroup>
  HWY_INLINE void Add() {
    int32_t quad;
    __builtin_memcpy(&quad, a_ + kGroup * kQuad, sizeof(quad));
    const __m512i row = _mm512_set1_epi32(quad);
    Add(row, b0_ + kGroup * kQuadBytes, sum0_);
    Add(row, b1_ + kGroup * kQuadBytes, sum1_);
    Add(row, b2_ + kGroup * kQuadBytes, sum2_);
    Add(row, b3_ + kGroup * kQuadBytes, sum3_);
  }
  // An assembler line, as the target of this namespace has the registers but not the instruction.
  static HWY_INLINE void Add(__m512i row, const int8_t* b, __m512i& sum) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(row), "m"(*reinterpret_cast<const int8_t(*)[kQuadBytes]>(b)));
  }
  HWY_INLINE void Advance(int64_t groups) {
    a_ += groups * kQuad;
    b0_ += groups * kQuadBytes;
    b1_ += groups * kQuadBytes;
    b2_ += groups * kQuadBytes;
    b3_ += groups * kQuadBytes;
    left_ -= groups;
  }

  const uint8_t* a_;
  const int8_t* b0_;  // of each gate
  const int8_t* b1_;
  const int8_t* b2_;
  const int8_t* b3_;
  int64_t left_;     // groups
  int64_t stretch_;  // fours of them, between two parts of a cell
  // No array: gcc 12 would keep it in memory.
  __m512i sum0_ = _mm512_setzero_si512();
  __m512i sum1_ = _mm512_setzero_si512();
  __m512i sum2_ = _mm512_setzero_si512();
  __m512i sum3_ = _mm512_setzero_si512();
};

// As LstmCodes, for the 16 lanes of this target; all of it is part of its caller, as what lies between has sums in registers.
template <bool kPeepholes, class Between>
HWY_INLINE void LstmCodePanel(const LstmCell& cell, const LstmCodeSums& sums, int64_t row, int64_t unit, Between&& between) {
  static_assert(hn::MaxLanes(MathTag()) == kPanelColumns);
  const auto load = []<class T>(const T* from) HWY_ATTR { return hn::LoadU(hn::Rebind<T, MathTag>(), from); };
  const auto store = [](MathVector value, float* to) HWY_ATTR { hn::StoreU(value, MathTag(), to); };
  const auto gate = [&](int g) HWY_ATTR { return CodeGate<1>(cell, sums, unit, g, load); };
  LstmVector<kPeepholes>(cell, row, unit, gate, load, store, between);
}

template <bool kPeepholes>
void LstmRowOfCodes(const LstmCell& cell, const LstmCodeRow& panels) {
  alignas(64) int32_t found[kCellGates * kPanelColumns];
  LstmCodeSums sums = panels.sums;
  sums.codes = found;
  const int64_t panel_bytes = panels.weights.groups() * kQuadBytes;
  const int64_t gate_bytes = cell.units / kPanelColumns * panel_bytes;
  const int8_t* const weights = panels.weights.codes + panels.weights.first_group * kQuadBytes;
  const auto panel = [&](int64_t i) { return panels.falling ? panels.first + panels.count - 1 - i : panels.first + i; };
  for (int64_t i = 0; i < panels.count; ++i) {
    for (int g = 0; g < kCellGates; ++g) {  // another core may have made them
      __builtin_prefetch(sums.input + g * cell.units + panel(i) * kPanelColumns);
    }
    CodeStretches product(panels.state.codes, weights + panel(i) * panel_bytes, gate_bytes, panels.state.groups);
    if (i > 0) {
      LstmCodePanel<kPeepholes>(cell, sums, panels.row, panel(i - 1) * kPanelColumns, product);
    }
    product.Finish(found);
  }
  if (panels.count == 0) return;
  LstmCodePanel<kPeepholes>(cell, sums, panels.row, panel(panels.count - 1) * kPanelColumns, NothingBetween());
}

void LstmCodeRows(const LstmCell& cell, const LstmCodeRow& panels) {
  (cell.peepholes.wci != nullptr ? &LstmRowOfCodes<true> : &LstmRowOfCodes<false>)(cell, panels);
}
#endif

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

bool RunLstmCodeRow([[maybe_unused]] const LstmCell& cell, [[maybe_unused]] const LstmCodeRow& panels,
                    [[maybe_unused]] Isa isa) {
#if WHERRY_LSTM_CODE_ROWS
  if (isa < Isa::kAvx512Vnni || panels.sums.planes > 1) return false;
  N_AVX3::LstmCodeRows(cell, panels);
  return true;
#else
  return false;
#endif
}

}  // namespace wherry::math
#endif  // HWY_ONCE
