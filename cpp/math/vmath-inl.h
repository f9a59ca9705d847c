// exp, log, erf and what is made of them, over vectors of floats. Compiled once for each instruction set (Highway's per-target
// include guard): with fused multiply-add where there is one, so bits differ between instruction sets, never between
// the lanes of a vector.
//
// Largest errors over all finite floats whose result is a normal number, on the worst instruction set, in ulp: Erf 1.3, Erfc 2.7,
// Exp 1.3, Expm1 1.8, Log 0.8, Log1p 1.5, Sigmoid 2.5, Softplus 2.1, Tanh 2.5, and Swish 2.5 above -88 (below, where it is under
// 1e-36, it may be 0). tests/parity/test_unary.py holds them to that. Results that are not normal may be 0. NaN gives
// NaN, infinities give the limits.
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

// x * 2^n for n in the low 9 bits, in two factors: 2^n alone can lie outside of float's range where the product does not.
HWY_INLINE MathVector TimesPowerOfTwo(MathVector x, MathBits n) {
  n = hn::ShiftRight<23>(hn::ShiftLeft<23>(n));
  const MathBits half = hn::ShiftRight<1>(n);
  return hn::Mul(hn::Mul(x, PowerOfTwo<0>(half)), PowerOfTwo<0>(hn::Sub(n, half)));
}

HWY_INLINE MathVector Exp(MathVector x) {
  const ReducedByLn2 reduced = ReduceByLn2(Clamp(-104.0F, x, 88.8F));
  return TimesPowerOfTwo(ExpOfReduced(reduced.r), reduced.n);
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

#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
// 2^(j / 16 - 1) for j in 0 .. 15, less j in what is one 16th of the exponent's unit: whole 16ths of a power, added to the bits,
// put that back. And what each lacks of the power, relative to it.
alignas(64) inline constexpr int32_t kSixteenths[16] = {
    0x3F000000, 0x3EFDAAC3, 0x3EFB95C2, 0x3EF9C3D3, 0x3EF837F0, 0x3EF6F532, 0x3EF5FED7, 0x3EF5583F,
    0x3EF504F3, 0x3EF508A4, 0x3EF5672A, 0x3EF6248C, 0x3EF744FD, 0x3EF8CCDF, 0x3EFAC0C7, 0x3EFD257D};
alignas(64) inline constexpr float kSixteenthsRest[16] = {
    0.0F, 4.62854715e-08F, -1.19921575e-08F, 4.72978243e-08F, 3.19341815e-08F, 3.62105723e-08F,
    -3.09907193e-08F, -7.47521334e-09F, 1.71142709e-08F, -3.04768335e-08F, 5.23333421e-09F, 6.10759177e-09F,
    -1.47196051e-08F, -5.25879518e-09F, -6.12825968e-09F, 5.14060927e-09F};

// Half of exp(-x) for x in -88.8 .. 86: 2^(n / 16) exp(r) with |r| <= ln 2 / 32, where registers hold 2^(n % 16 / 16).
HWY_INLINE MathVector HalfExpOfNegative(MathVector x) {
  const hn::RebindToSigned<MathTag> di;
  const MathVector round = Constant(12582912.0F);
  const MathVector shifted = hn::NegMulAdd(x, Constant(16 * 1.44269504F), round);
  const MathVector n = hn::Sub(shifted, round);
  const MathVector r = hn::NegMulAdd(n, Constant(-2.12194440e-4F / 16), hn::NegMulSub(n, Constant(0.693359375F / 16), x));
  const MathBits bits = BitsOf(shifted);
  const MathBits root = {_mm512_permutexvar_epi32(bits.raw, hn::Load(di, kSixteenths).raw)};
  const MathVector rest = {_mm512_permutexvar_ps(bits.raw, hn::Load(MathTag(), kSixteenthsRest).raw)};
  const MathVector power = hn::BitCast(MathTag(), hn::Add(hn::ShiftLeft<19>(bits), root));
  const MathVector q = hn::MulAdd(hn::MulAdd(r, Constant(1.0F / 6), Constant(0.5F)), r, Constant(1.0F));
  return hn::MulAdd(power, hn::MulAdd(q, r, rest), power);
}
#else
HWY_INLINE MathVector HalfExpOfNegative(MathVector x) {
  const MathVector round = Constant(12582912.0F);
  const MathVector shifted = hn::NegMulAdd(x, Constant(1.44269504F), round);
  const MathVector n = hn::Sub(shifted, round);
  const MathVector r = hn::NegMulAdd(n, Constant(-2.12194440e-4F), hn::NegMulSub(n, Constant(0.693359375F), x));
  return hn::Mul(ExpOfReduced(r), PowerOfTwo<-1>(BitsOf(shifted)));
}
#endif

// 1 + exp(-x): infinite below -88.8, 1 above 86.
HWY_INLINE MathVector OnePlusExpOfNegative(MathVector x) {
  return hn::MulAdd(HalfExpOfNegative(Clamp(-88.8F, x, 86.0F)), Constant(2.0F), Constant(1.0F));
}

HWY_INLINE MathVector Sigmoid(MathVector x) { return hn::Div(Constant(1.0F), OnePlusExpOfNegative(x)); }

HWY_INLINE MathVector Swish(MathVector x) { return hn::Div(x, OnePlusExpOfNegative(x)); }

#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
// sigmoid(t) - 0.5 as quadratics with the least largest error (by exchange) on the 32 stretches that u = t + 1 in 1 .. 16 has
// by its exponent and the three bits behind it. Both count from 2 on, so 24 to 31 are those below it: the five bits that
// VPERMT2PS looks at.
alignas(64) inline constexpr float kGate0[32] = {
    -0.0127597544F, -0.0139956912F, -0.00958742574F, 0.00208099931F, 0.0213810522F, 0.0475693382F, 0.0791600719F,
    0.114338875F, 0.16891852F, 0.24095872F, 0.304219663F, 0.355888218F, 0.396060437F, 0.426226407F, 0.448308647F,
    0.464163959F, 0.479247421F, 0.490476578F, 0.495726436F, 0.498116583F, 0.499182284F, 0.499649435F, 0.499851316F,
    0.499937534F, -1.26599127e-06F, -0.000123095437F, -0.000580729335F, -0.00152797496F, -0.00302529545F, -0.00502354698F,
    -0.00736377761F, -0.00979193859F};
alignas(64) inline constexpr float kGate1[32] = {
    0.290887147F, 0.292988479F, 0.287204862F, 0.273930967F, 0.254662871F, 0.23139374F, 0.206115201F, 0.180515707F,
    0.144618705F, 0.103299752F, 0.0715486482F, 0.0485001169F, 0.0323752165F, 0.0213699676F, 0.0139867906F, 0.0090943519F,
    0.00481685717F, 0.00198317622F, 0.000806748227F, 0.0003251007F, 0.000130002358F, 5.16510045e-05F, 2.04085118e-05F,
    8.0255013e-06F, 0.25018248F, 0.252096593F, 0.255747706F, 0.260800898F, 0.266798317F, 0.2732054F, 0.279461592F,
    0.285028696F};
alignas(64) inline constexpr float kGate2[32] = {
    -0.0470704883F, -0.0479613431F, -0.0460637547F, -0.0422871858F, -0.0374766067F, -0.0323064364F, -0.0272484906F,
    -0.0225905254F, -0.0166869052F, -0.0107597895F, -0.00677450886F, -0.00420347741F, -0.0025850425F, -0.00158113509F,
    -0.000963910599F, -0.000586453709F, -0.000283133559F, -0.000104316357F, -3.83971601e-05F, -1.41284127e-05F,
    -5.19794321e-06F, -1.91226945e-06F, -7.03491764e-07F, -2.58801123e-07F, -0.00389799988F, -0.0115731442F,
    -0.0188936163F, -0.0256484058F, -0.0316617452F, -0.0368018597F, -0.040985439F, -0.0441777445F};

HWY_INLINE MathVector FastSwish(MathVector x) {
  const MathTag d;
  const MathVector bounded = hn::Max(Constant(-15.0F), x);
  const MathVector size = hn::Abs(bounded);
  const MathVector t = hn::Min(Constant(14.9999F), size);
  const MathBits stretch = hn::ShiftRight<20>(BitsOf(hn::Add(t, Constant(1.0F))));
  const auto gate = [&](const float* table) HWY_ATTR {
    return MathVector{_mm512_permutex2var_ps(hn::Load(d, table).raw, stretch.raw, hn::Load(d, table + 16).raw)};
  };
  const MathVector g = hn::MulAdd(hn::MulAdd(gate(kGate2), t, gate(kGate1)), t, gate(kGate0));
  return hn::MulAdd(size, g, hn::Mul(bounded, Constant(0.5F)));
}
#else
HWY_INLINE MathVector FastSwish(MathVector x) {
  const MathVector bounded = hn::Max(Constant(-15.0F), x);
  const MathVector round = Constant(12582912.0F);
  const MathVector shifted = hn::NegMulAdd(hn::Min(Constant(15.0F), bounded), Constant(1.44269504F), round);
  const MathVector n = hn::Sub(shifted, round);
  const MathVector r = hn::NegMulSub(n, Constant(0.693147181F), hn::Min(Constant(15.0F), bounded));
  // exp(r) with an error of 4e-5.
  const MathVector high = hn::MulAdd(r, Constant(1.0F / 24), Constant(1.0F / 6));
  const MathVector p = hn::MulAdd(hn::MulAdd(hn::MulAdd(high, r, Constant(0.5F)), r, Constant(1.0F)), r, Constant(1.0F));
  const MathVector sum = hn::MulAdd(p, PowerOfTwo<0>(BitsOf(shifted)), Constant(1.0F));
  const MathVector guess = hn::ApproximateReciprocal(sum);
  return hn::Mul(bounded, hn::Mul(guess, hn::NegMulAdd(sum, guess, Constant(2.0F))));  // Newton's step
}
#endif

HWY_INLINE MathVector Tanh(MathVector x) {
  const MathVector e = Expm1OfClamped(hn::Min(Constant(20.0F), hn::Abs(hn::Add(x, x))));
  return hn::CopySignToAbs(hn::Div(e, hn::Add(e, Constant(2.0F))), x);
}

// erf(x) for |x| below 7/8, where the argument is that size: x + x q(x^2), q interpolated at Chebyshev's nodes.
HWY_INLINE MathVector ErfNearZero(MathVector size) {
  const MathVector square = hn::Mul(size, size);
  MathVector q = hn::MulAdd(Constant(-0.0006214585155248642F), square, Constant(0.005034370813518763F));
  q = hn::MulAdd(q, square, Constant(-0.026792947202920914F));
  q = hn::MulAdd(q, square, Constant(0.11282496899366379F));
  q = hn::MulAdd(q, square, Constant(-0.3761255443096161F));
  q = hn::MulAdd(q, square, Constant(0.12837915122509003F));
  return hn::MulAdd(q, size, size);
}

// Above 7/8: 1 - exp(-x p(x)), as erf is so near to 1 there that few digits of the rest matter; from 3.95 on it is 1. p
// interpolates at Chebyshev's nodes.
HWY_INLINE MathVector Erf(MathVector x) {
  const MathVector size = hn::Abs(x);
  const MathVector t = hn::Min(Constant(3.95F), size);
  MathVector p = hn::MulAdd(Constant(1.6840680473251268e-05F), t, Constant(-0.00037696384242735803F));
  p = hn::MulAdd(p, t, Constant(0.0038512577302753925F));
  p = hn::MulAdd(p, t, Constant(-0.024172453209757805F));
  p = hn::MulAdd(p, t, Constant(0.10666996985673904F));
  p = hn::MulAdd(p, t, Constant(0.6349186301231384F));
  p = hn::MulAdd(p, t, Constant(1.1286982297897339F));
  const ReducedByLn2 reduced = ReduceByLn2(hn::Neg(hn::Mul(p, t)));
  const MathVector rest = hn::Mul(ExpOfReduced(reduced.r), PowerOfTwo<0>(reduced.n));
  const MathVector far = hn::Sub(Constant(1.0F), rest);
  return hn::CopySign(hn::IfThenElse(hn::Lt(size, Constant(0.875F)), ErfNearZero(size), far), x);
}

// 1 - erf(x), with all its digits where that is small. Below 1/2 in size as it says; above, exp(-x^2) p(s) / (1 + 2 x) with
// s = (x - 2) / (x + 2) (Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x", 1981; p
// interpolated at Chebyshev's nodes), and 2 less that of -x below zero. exp(-x^2) is of -h^2 - (x - h)(x + h) where h is x
// in 12 bits, so that h^2 is exact. From 10.1 on it is 0.
HWY_INLINE MathVector Erfc(MathVector x) {
  const hn::RebindToSigned<MathTag> di;
  const MathVector size = hn::Abs(x);
  const MathVector one = Constant(1.0F);
  const MathVector t = Clamp(0.5F, size, 10.1F);
  const MathVector high = hn::BitCast(MathTag(), hn::And(BitsOf(t), hn::Set(di, -4096)));
  const ReducedByLn2 reduced = ReduceByLn2(hn::Neg(hn::Mul(high, high)));
  const MathVector r = hn::NegMulAdd(hn::Sub(t, high), hn::Add(t, high), reduced.r);
  const MathVector s = hn::Div(hn::Sub(t, Constant(2.0F)), hn::Add(t, Constant(2.0F)));
  MathVector p = hn::MulAdd(Constant(-0.0013606115244328976F), s, Constant(0.0009576492593623698F));
  p = hn::MulAdd(p, s, Constant(0.00872715376317501F));
  p = hn::MulAdd(p, s, Constant(-0.007952382788062096F));
  p = hn::MulAdd(p, s, Constant(-0.05422637611627579F));
  p = hn::MulAdd(p, s, Constant(0.1640430986881256F));
  p = hn::MulAdd(p, s, Constant(-0.16602975130081177F));
  p = hn::MulAdd(p, s, Constant(-0.09276360273361206F));
  p = hn::MulAdd(p, s, Constant(1.2769783735275269F));
  const MathVector rest = hn::Div(hn::Mul(ExpOfReduced(r), p), hn::MulAdd(Constant(2.0F), t, one));
  const MathVector small = hn::IfThenZeroElse(hn::Gt(size, Constant(10.1F)), TimesPowerOfTwo(rest, reduced.n));
  const MathVector far = hn::IfThenElse(hn::Lt(x, hn::Zero(MathTag())), hn::Sub(Constant(2.0F), small), small);
  const MathVector near = hn::Sub(one, hn::CopySignToAbs(ErfNearZero(size), x));
  return hn::IfThenElse(hn::Lt(size, Constant(0.5F)), near, far);
}

// Calls body(load, store) for whole vectors of [0, count) and then for the rest: load(p) reads those lanes of the run p of
// floats or of other 32-bit words, store(v, p) writes them.
template <class Body>
HWY_INLINE void MapVectors(int64_t count, const Body& body) {
  const MathTag d;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(MathTag()));
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    body([&]<class T>(const T* from) HWY_ATTR { return hn::LoadU(hn::Rebind<T, MathTag>(), from + i); },
         [&](MathVector value, float* to) HWY_ATTR { hn::StoreU(value, d, to + i); });
  }
  if (i < count) {
    const size_t rest = static_cast<size_t>(count - i);
    body([&]<class T>(const T* from) HWY_ATTR { return hn::LoadN(hn::Rebind<T, MathTag>(), from + i, rest); },
         [&](MathVector value, float* to) HWY_ATTR { hn::StoreN(value, d, to + i, rest); });
  }
}

// x = m * 2^e with m in [sqrt(1/2), sqrt(2)); log(m) = f - f^2 / 2 + f^3 p(f) with f = m - 1, p interpolated at
// Chebyshev's nodes. For any x: -inf at 0, NaN below.
HWY_INLINE MathVector Log(MathVector x) {
  const MathTag d;
  const hn::RebindToSigned<MathTag> di;
  const auto small = hn::Lt(x, Constant(1.17549435e-38F));
  const MathVector normal = hn::IfThenElse(small, hn::Mul(x, Constant(8388608.0F)), x);
  const MathBits bits = hn::Sub(BitsOf(normal), hn::Set(di, 0x3F3504F3));  // sqrt(1/2)
  const MathBits exponent = hn::ShiftRight<23>(bits);
  const MathVector f =
      hn::Sub(hn::BitCast(d, hn::Sub(BitsOf(normal), hn::ShiftLeft<23>(exponent))), Constant(1.0F));
  const MathVector e =
      hn::Sub(hn::ConvertTo(d, exponent), hn::IfThenElseZero(small, Constant(23.0F)));
  MathVector p = hn::MulAdd(Constant(0.06971611827611923F), f, Constant(-0.11479733884334564F));
  p = hn::MulAdd(p, f, Constant(0.11685419827699661F));
  p = hn::MulAdd(p, f, Constant(-0.12425687164068222F));
  p = hn::MulAdd(p, f, Constant(0.14249058067798615F));
  p = hn::MulAdd(p, f, Constant(-0.1666780263185501F));
  p = hn::MulAdd(p, f, Constant(0.20000715553760529F));
  p = hn::MulAdd(p, f, Constant(-0.2499999701976776F));
  p = hn::MulAdd(p, f, Constant(0.3333333134651184F));
  const MathVector square = hn::Mul(f, f);
  const MathVector low = hn::MulAdd(e, Constant(-2.12194440e-4F), hn::Mul(hn::Mul(square, f), p));
  const MathVector sum = hn::Add(f, hn::NegMulAdd(square, Constant(0.5F), low));
  MathVector result = hn::MulAdd(e, Constant(0.693359375F), sum);
  const MathVector infinity = hn::Inf(d);
  result = hn::IfThenElse(hn::Eq(x, infinity), x, result);
  result = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(infinity), result);
  return hn::IfThenElse(hn::Ge(x, hn::Zero(d)), result, hn::NaN(d));  // NaN is not >= 0
}

// log(1 + x): the logarithm of the rounded sum, and what rounding lost.
HWY_INLINE MathVector Log1p(MathVector x) {
  const MathTag d;
  const MathVector one = Constant(1.0F);
  const MathVector sum = hn::Add(x, one);
  const MathVector lost = hn::Div(hn::Sub(x, hn::Sub(sum, one)), sum);
  const MathVector log = Log(sum);
  const auto exact = hn::Or(hn::Eq(sum, hn::Zero(d)), hn::Eq(sum, hn::Inf(d)));
  return hn::IfThenElse(hn::Eq(x, hn::Zero(d)), x, hn::IfThenElse(exact, log, hn::Add(log, lost)));
}

// log(1 + exp(x)) without overflow.
HWY_INLINE MathVector Softplus(MathVector x) {
  const MathVector tail = Log1p(Exp(hn::Neg(hn::Abs(x))));
  return hn::Add(hn::Max(hn::Zero(MathTag()), x), tail);
}

HWY_INLINE MathVector Selu(MathVector x) {
  const MathVector negative = hn::Mul(Constant(1.6732632423543772F), Expm1(x));
  return hn::Mul(Constant(1.0507009873554805F), hn::IfThenElse(hn::Lt(x, hn::Zero(MathTag())), negative, x));
}

// out[i] = f(in[i]) for i in [0, count). Works in place. f: vector to vector.
template <class F>
HWY_INLINE void MapRun(const float* in, float* out, int64_t count, const F& f) {
  MapVectors(count, [&](const auto& load, const auto& store) HWY_ATTR { store(f(load(in)), out); });
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
