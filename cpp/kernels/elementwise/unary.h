// The shape that all one-input elementwise kernels share: same shape in and out, any layout of dims.
#ifndef WHERRY_KERNELS_ELEMENTWISE_UNARY_H_
#define WHERRY_KERNELS_ELEMENTWISE_UNARY_H_

#include "kernels/select.h"
#include "kernels/shape.h"
#include "math/vectorize.h"
#include "math/vmath.h"

namespace wherry::kernels {

inline Status PrepareUnary(PrepareContext& context, DType in, DType out) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(1, 1));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputType(0, in));
  WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(0, out));
  if (!IsPlain(context.input(0))) return context.Fail(Code::kCorrupt, "the input must not be quantized");
  if (!context.input(0).SameShape(context.output(0))) {
    return context.Fail(Code::kCorrupt, "output and input differ in shape");
  }
  return Status::Ok();
}

// Elements that are worth a thread of their own.
inline constexpr int64_t kElementwiseGrain = 4096;

// out[i] = f(in[i]). Works in place.
template <typename In, typename Out, typename F>
Status RunUnary(RunContext& context, const F& f) {
  const In* in = context.input(0).as<const In>();
  Out* out = context.output(0).as<Out>();
  context.threads().ForRange(context.input(0).count(), kElementwiseGrain, [&](int64_t begin, int64_t end, int) {
    WHERRY_VECTORIZE
    for (int64_t i = begin; i < end; ++i) out[i] = f(in[i]);
  });
  return Status::Ok();
}

// As RunUnary, where rows may have gaps between them.
template <typename In, typename Out, typename F>
Status RunUnaryRows(RunContext& context, const F& f) {
  const Tensor &input = context.input(0), &output = context.output(0);
  const int64_t n = input.row_length();
  if ((input.dense() && output.dense()) || n == 0) return RunUnary<In, Out>(context, f);
  context.threads().ForRange(input.count() / n, 1 + kElementwiseGrain / n, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const In* in = input.as<const In>() + row * input.pitch;
      Out* out = output.as<Out>() + row * output.pitch;
      WHERRY_VECTORIZE
      for (int64_t i = 0; i < n; ++i) out[i] = f(in[i]);
    }
  });
  return Status::Ok();
}

// As RunUnary, of a function that math/ has over runs.
inline Status RunFunction(RunContext& context, math::FloatFunction function) {
  const float* in = context.input(0).as<const float>();
  float* out = context.output(0).as<float>();
  context.threads().ForRange(context.input(0).count(), kElementwiseGrain, [&](int64_t begin, int64_t end, int) {
    function(in + begin, out + begin, end - begin);
  });
  return Status::Ok();
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_ELEMENTWISE_UNARY_H_
