// Depthwise convolution of an NHWC image: every channel has a filter (or several) of its own.
#ifndef WHERRY_MATH_DEPTHWISE_H_
#define WHERRY_MATH_DEPTHWISE_H_

#include <cstdint>

#include "math/activation.h"
#include "math/isa.h"

namespace wherry::math {

// out[b, y, x, c * multiplier + m] = activation(bias + sum over ky, kx of
//     image[b, y * stride_h - top + ky * dilation_h, x * stride_w - left + kx * dilation_w, c] * filter[ky, kx, c, m]).
// The filter is a matrix [filter_h * filter_w, channels * multiplier] in float32 panels (math/panels.h).
struct Depthwise {
  const float* image = nullptr;   // [batch, in_h, in_w, channels]
  const float* filter = nullptr;
  const float* bias = nullptr;    // [channels * multiplier], null for none
  float* out = nullptr;           // [batch, out_h, out_w, channels * multiplier]
  int64_t in_h = 0;
  int64_t in_w = 0;
  int64_t channels = 0;
  int64_t multiplier = 1;
  int64_t out_h = 0;
  int64_t out_w = 0;
  int64_t filter_h = 1;
  int64_t filter_w = 1;
  int64_t stride_h = 1;
  int64_t stride_w = 1;
  int64_t dilation_h = 1;
  int64_t dilation_w = 1;
  int64_t top = 0;
  int64_t left = 0;
  Activation activation = Activation::kNone;
  float alpha = 0.0F;
};

// Output rows [begin, end) of all batch * out_h. Every sum runs in an order
// that depends on the filter, the strides and the channel only.
void RunDepthwise(const Depthwise& conv, int64_t begin, int64_t end, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_DEPTHWISE_H_
