// Activations that a product applies to its results before they leave the cache.
#ifndef WHERRY_MATH_ACTIVATION_H_
#define WHERRY_MATH_ACTIVATION_H_

#include <cstdint>
#include <limits>

#include "math/isa.h"

namespace wherry::math {

enum class Activation : uint8_t {
  kNone = 0,
  kRelu,
  kRelu6,
  kLeakyRelu,  // x > 0 ? x : alpha * x
  kElu,
  kTanh,
  kSigmoid,
  kSwish,      // x * sigmoid(x)
  kHardSwish,  // x * relu6(x + 3) / 6
  kFastSwish,  // x * sigmoid(x) with an error of up to 1e-4, or 2e-5 of x: for networks in reduced arithmetic
};

// Relu and Relu6 as bounds, which a last loop applies itself: max(low, x), then min(high, x), NaN passing. Infinities
// for all others.
struct Clamp {
  float low;
  float high;
};
constexpr Clamp ClampOf(Activation activation) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return {activation == Activation::kRelu || activation == Activation::kRelu6 ? 0.0F : -kInfinity,
          activation == Activation::kRelu6 ? 6.0F : kInfinity};
}

// out[i] = f(in[i]) for a run of floats; any of the above. Each element's result depends on it alone. Works in place.
void Activate(Activation activation, float alpha, const float* in, float* out, int64_t count, Isa isa);

// The same for rows that begin `stride` floats apart; constants stay in registers from one to the next.
struct FloatRows {
  const float* in;
  float* out;
  int64_t stride;
  int64_t rows;
  int64_t count;  // of floats in each
};
void Activate(Activation activation, float alpha, const FloatRows& rows, Isa isa);

inline void Activate(Activation activation, float alpha, float* values, int64_t count, Isa isa) {
  if (activation != Activation::kNone) Activate(activation, alpha, values, values, count, isa);
}

}  // namespace wherry::math

#endif  // WHERRY_MATH_ACTIVATION_H_
