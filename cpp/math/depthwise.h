// Depthwise convolution of an NHWC image: every channel has a filter (or several) of its own.
#ifndef WHERRY_MATH_DEPTHWISE_H_
#define WHERRY_MATH_DEPTHWISE_H_

#include <cstdint>

#include "math/activation.h"
#include "math/isa.h"
#include "math/window.h"

namespace wherry::math {

// out[b, y, x, c * multiplier + m] = activation(bias + sum over ky, kx of
//     image[b, y * h.stride - h.before + ky * h.dilation, x * w.stride - w.before + kx * w.dilation,
//     c] * filter[ky, kx, c, m]).
// The filter is a matrix [h.filter * w.filter, channels * multiplier] in float32 panels (math/panels.h).
struct Depthwise {
  const float* image = nullptr;   // [batch, h.in, w.in, channels]
  const float* filter = nullptr;
  const float* bias = nullptr;    // [channels * multiplier], null for none
  float* out = nullptr;           // [batch, h.out, w.out, channels * multiplier]
  int64_t channels = 0;
  int64_t multiplier = 1;
  Window window;
  Activation activation = Activation::kNone;
  float alpha = 0.0F;
};

// Output rows [begin, end) of all batch * h.out. Every sum runs in an order
// that depends on the filter, the strides and the channel only.
void RunDepthwise(const Depthwise& conv, int64_t begin, int64_t end, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_DEPTHWISE_H_
