// Elementwise kernels that are activations: run by math/activation.h, which is compiled for each instruction set.
#ifndef WHERRY_KERNELS_ELEMENTWISE_ACTIVATE_H_
#define WHERRY_KERNELS_ELEMENTWISE_ACTIVATE_H_

#include "kernels/elementwise/unary.h"
#include "math/activation.h"

namespace wherry::kernels {

// out[i] = activation(in[i]). Works in place.
inline Status RunActivation(RunContext& context, math::Activation activation, float alpha = 0.0F) {
  const float* in = context.input(0).as<const float>();
  float* out = context.output(0).as<float>();
  const Isa isa = context.isa();
  context.threads().ForRange(context.input(0).count(), kElementwiseGrain, [&](int64_t begin, int64_t end, int) {
    math::Activate(activation, alpha, in + begin, out + begin, end - begin, isa);
  });
  return Status::Ok();
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_ELEMENTWISE_ACTIVATE_H_
