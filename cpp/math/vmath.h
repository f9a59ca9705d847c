// exp and what is made of it, in plain C++ without branches, so that the compiler vectorises loops over them for any
// instruction set, and with the same bits everywhere: no fused multiply-add, no library call.
//
// Errors are at most 4 ulp (tests/parity/test_unary.py); NaN gives NaN, infinities give the limits.
#ifndef WHERRY_MATH_VMATH_H_
#define WHERRY_MATH_VMATH_H_

#include <bit>
#include <cstdint>

namespace wherry::math {

namespace internal {

// x = n * ln 2 + r with |r| <= ln 2 / 2; r in two steps (Cody and Waite) so that n * kLn2High is exact.
// Adding 1.5 * 2^23 rounds to a whole number, half to even, and leaves it in the low bits.
struct Reduced {
  uint32_t n;  // two's complement
  float r;
};

inline Reduced ReduceByLn2(float x) {
  constexpr float kRound = 12582912.0F;
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  const float shifted = x * 1.44269504F + kRound;
  const float n = shifted - kRound;
  return {std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRound), (x - n * kLn2High) - n * kLn2Low};
}

// exp(r) - 1 for |r| <= ln 2 / 2: r + r^2 * q(r), q interpolates at Chebyshev's nodes.
inline float Expm1OfReduced(float r) {
  float q = 0.00019891980628017336F;
  q = q * r + 0.0013934541493654251F;
  q = q * r + 0.00833331048488617F;
  q = q * r + 0.04166645556688309F;
  q = q * r + 0.1666666716337204F;
  q = q * r + 0.5F;
  return r * r * q + r;
}

// 2^n for n in -126 .. 127.
inline float PowerOfTwo(uint32_t n) { return std::bit_cast<float>((n + 127U) << 23U); }

inline uint32_t HalfOf(uint32_t n) { return static_cast<uint32_t>(static_cast<int32_t>(n) >> 1); }

}  // namespace internal

inline float Exp(float x) {
  x = x > 88.8F ? 88.8F : x;
  x = x < -104.0F ? -104.0F : x;
  const internal::Reduced reduced = internal::ReduceByLn2(x);
  const float p = internal::Expm1OfReduced(reduced.r) + 1.0F;
  // Two factors: 2^n alone can lie outside of float's range where the result does not.
  const uint32_t half = internal::HalfOf(reduced.n);
  return p * internal::PowerOfTwo(half) * internal::PowerOfTwo(reduced.n - half);
}

inline float Expm1(float x) {
  const float y = x;
  x = x > 88.8F ? 88.8F : x;
  x = x < -20.0F ? -20.0F : x;
  const internal::Reduced reduced = internal::ReduceByLn2(x);
  const float p = internal::Expm1OfReduced(reduced.r);
  const float scale = internal::PowerOfTwo(reduced.n - 1U);  // half of 2^n, which may be 2^128
  const float result = 2.0F * (scale * p + (scale - 0.5F));
  return y == 0.0F ? y : result;  // keeps the sign of -0
}

inline float Sigmoid(float x) { return 1.0F / (1.0F + Exp(-x)); }

inline float Tanh(float x) {
  const float magnitude = std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0x7FFFFFFFU);
  const float bounded = magnitude > 10.0F ? 10.0F : magnitude;
  const float e = Expm1(2.0F * bounded);
  const float result = e / (e + 2.0F);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(result) | (std::bit_cast<uint32_t>(x) & 0x80000000U));
}

}  // namespace wherry::math

#endif  // WHERRY_MATH_VMATH_H_
