// Elementwise kernels that are activations: run by math/activation.h, which is compiled for each instruction set.
#ifndef WHERRY_KERNELS_ELEMENTWISE_ACTIVATE_H_
#define WHERRY_KERNELS_ELEMENTWISE_ACTIVATE_H_

#include "kernels/elementwise/unary.h"
#include "math/activation.h"

namespace wherry::kernels {

// out[i] = activation(in[i]), in blocks that stay in the cache. Works in place.
inline Status RunActivation(RunContext& context, math::Activation activation, float alpha = 0.0F) {
  constexpr int64_t kBlock = 4096;
  const float* in = context.input(0).as<const float>();
  float* out = context.output(0).as<float>();
  const Isa isa = context.isa();
  context.threads().ForRange(context.input(0).count(), kElementwiseGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; i += kBlock) {
      const int64_t n = end - i < kBlock ? end - i : kBlock;
      if (in != out) std::memcpy(out + i, in + i, static_cast<size_t>(n) * sizeof(float));
      math::Activate(activation, alpha, out + i, n, isa);
    }
  });
  return Status::Ok();
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_ELEMENTWISE_ACTIVATE_H_
