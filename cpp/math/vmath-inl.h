// exp and what is made of it, over vectors of floats. Compiled once for each instruction set (Highway's per-target
// include guard): with fused multiply-add where there is one, so bits differ between instruction sets, never between
// the lanes of a vector.
//
// Largest errors over all finite floats whose result is a normal number, on the worst instruction set, in ulp: Exp 1.3,
// Expm1 1.8, Sigmoid 2.5, Tanh 2.5, Swish 2.5 above -88 (below, where it is under 1e-36, it may be 0). Results that are not
// normal may be 0. NaN gives NaN, infinities give the limits.
#if defined(WHERRY_MATH_VMATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WHERRY_MATH_VMATH_INL_H_
#undef WHERRY_MATH_VMATH_INL_H_
#else
#define WHERRY_MATH_VMATH_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using MathTag = hn::CappedTag<float, 16>;
using MathVector = hn::Vec<MathTag>;
using MathBits = hn::Vec<hn::RebindToSigned<MathTag>>;

HWY_INLINE MathVector Constant(float value) { return hn::Set(MathTag(), value); }
HWY_INLINE MathBits BitsOf(MathVector x) { return hn::BitCast(hn::RebindToSigned<MathTag>(), x); }

// The order of operands lets NaN pass: x86 returns the second one.
HWY_INLINE MathVector Clamp(float low, MathVector x, float high) {
  return hn::Min(Constant(high), hn::Max(Constant(low), x));
}

// x = n * ln 2 + r with |r| <= ln 2 / 2; r in two steps (Cody and Waite) so that n * kLn2High is exact.
// Adding 1.5 * 2^23 rounds to a whole number, half to even, and leaves it in the low bits.
struct ReducedByLn2 {
  MathBits n;  // in the low 9 bits, two's complement; what is above is no part of it
  MathVector r;
};

HWY_INLINE ReducedByLn2 ReduceByLn2(MathVector x) {
  const MathVector round = Constant(12582912.0F);
  const MathVector shifted = hn::MulAdd(x, Constant(1.44269504F), round);
  const MathVector n = hn::Sub(shifted, round);
  const MathVector r = hn::NegMulAdd(n, Constant(0.693359375F), x);
  return {BitsOf(shifted), hn::NegMulAdd(n, Constant(-2.12194440e-4F), r)};
}

// exp(r) - 1 = r + r^2 q(r) for |r| <= ln 2 / 2: these are q's coefficients, interpolated at Chebyshev's nodes.
HWY_INLINE MathVector Expm1Quadratic(MathVector r) {
  MathVector q = hn::MulAdd(Constant(0.0013926184037700295F), r, Constant(0.008363178931176662F));
  q = hn::MulAdd(q, r, Constant(0.041666556149721146F));
  q = hn::MulAdd(q, r, Constant(0.16666576266288757F));
  return hn::MulAdd(q, r, Constant(0.5F));
}

HWY_INLINE MathVector Expm1OfReduced(MathVector r) {
  return hn::MulAdd(hn::Mul(r, r), Expm1Quadratic(r), r);
}

HWY_INLINE MathVector ExpOfReduced(MathVector r) {
  return hn::MulAdd(hn::MulAdd(Expm1Quadratic(r), r, Constant(1.0F)), r, Constant(1.0F));
}

// 2^(n + offset), which must lie in -126 .. 127.
template <int kOffset>
HWY_INLINE MathVector PowerOfTwo(MathBits n) {
  const hn::RebindToSigned<MathTag> di;
  return hn::BitCast(MathTag(), hn::Add(hn::ShiftLeft<23>(n), hn::Set(di, (127 + kOffset) << 23)));
}

HWY_INLINE MathVector Exp(MathVector x) {
  const ReducedByLn2 reduced = ReduceByLn2(Clamp(-104.0F, x, 88.8F));
  const MathVector p = ExpOfReduced(reduced.r);
  // Two factors: 2^n alone can lie outside of float's range where the result does not.
  const MathBits n = hn::ShiftRight<23>(hn::ShiftLeft<23>(reduced.n));
  const MathBits half = hn::ShiftRight<1>(n);
  return hn::Mul(hn::Mul(p, PowerOfTwo<0>(half)), PowerOfTwo<0>(hn::Sub(n, half)));
}

// For x in -20 .. 88.8; the sign of -0 is lost.
HWY_INLINE MathVector Expm1OfClamped(MathVector x) {
  const ReducedByLn2 reduced = ReduceByLn2(x);
  const MathVector scale = PowerOfTwo<-1>(reduced.n);  // half of 2^n, which may be 2^128
  const MathVector half = hn::MulAdd(scale, Expm1OfReduced(reduced.r), hn::Sub(scale, Constant(0.5F)));
  return hn::Add(half, half);
}

HWY_INLINE MathVector Expm1(MathVector x) {
  const MathVector result = Expm1OfClamped(Clamp(-20.0F, x, 88.8F));
  return hn::IfThenElse(hn::Eq(x, hn::Zero(MathTag())), x, result);
}

// 1 + exp(-x): infinite below -88.8, 1 above 86.
HWY_INLINE MathVector OnePlusExpOfNegative(MathVector x) {
  x = Clamp(-88.8F, x, 86.0F);
  const MathVector round = Constant(12582912.0F);
  const MathVector shifted = hn::NegMulAdd(x, Constant(1.44269504F), round);
  const MathVector n = hn::Sub(shifted, round);
  const MathVector r = hn::NegMulAdd(n, Constant(-2.12194440e-4F), hn::NegMulSub(n, Constant(0.693359375F), x));
  const MathVector half = hn::Mul(ExpOfReduced(r), PowerOfTwo<-1>(BitsOf(shifted)));
  return hn::MulAdd(half, Constant(2.0F), Constant(1.0F));
}

HWY_INLINE MathVector Sigmoid(MathVector x) { return hn::Div(Constant(1.0F), OnePlusExpOfNegative(x)); }

HWY_INLINE MathVector Swish(MathVector x) { return hn::Div(x, OnePlusExpOfNegative(x)); }

HWY_INLINE MathVector Tanh(MathVector x) {
  const MathVector e = Expm1OfClamped(hn::Min(Constant(20.0F), hn::Abs(hn::Add(x, x))));
  return hn::CopySignToAbs(hn::Div(e, hn::Add(e, Constant(2.0F))), x);
}

// Calls body(load, store) for whole vectors of [0, count) and then for the rest: load(p) reads those lanes of the run p,
// store(v, p) writes them.
template <class Body>
HWY_INLINE void MapVectors(int64_t count, const Body& body) {
  const MathTag d;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(MathTag()));
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    body([&](const float* from) HWY_ATTR { return hn::LoadU(d, from + i); },
         [&](MathVector value, float* to) HWY_ATTR { hn::StoreU(value, d, to + i); });
  }
  if (i < count) {
    const size_t rest = static_cast<size_t>(count - i);
    body([&](const float* from) HWY_ATTR { return hn::LoadN(d, from + i, rest); },
         [&](MathVector value, float* to) HWY_ATTR { hn::StoreN(value, d, to + i, rest); });
  }
}

// out[i] = f(in[i]) for i in [0, count). Works in place. f: vector to vector.
template <class F>
HWY_INLINE void MapRun(const float* in, float* out, int64_t count, const F& f) {
  MapVectors(count, [&](const auto& load, const auto& store) HWY_ATTR { store(f(load(in)), out); });
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
