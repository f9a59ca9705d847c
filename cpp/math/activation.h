// Activations that a product applies to its results before they leave the cache.
#ifndef WHERRY_MATH_ACTIVATION_H_
#define WHERRY_MATH_ACTIVATION_H_

#include <cstdint>

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
};

// out[i] = f(in[i]) for a run of floats; any of the above. Each element's result depends on it alone. Works in place.
void Activate(Activation activation, float alpha, const float* in, float* out, int64_t count, Isa isa);

inline void Activate(Activation activation, float alpha, float* values, int64_t count, Isa isa) {
  if (activation != Activation::kNone) Activate(activation, alpha, values, values, count, isa);
}

}  // namespace wherry::math

#endif  // WHERRY_MATH_ACTIVATION_H_
