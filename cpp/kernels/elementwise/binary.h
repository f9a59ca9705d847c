// The shape that all two-input elementwise kernels share: NumPy's broadcasting, up to 8 dims.
#ifndef WHERRY_KERNELS_ELEMENTWISE_BINARY_H_
#define WHERRY_KERNELS_ELEMENTWISE_BINARY_H_

#include <type_traits>

#include "kernels/elementwise/unary.h"
#include "kernels/select.h"
#include "kernels/shape.h"
#include "math/broadcast.h"
#include "math/vectorize.h"

namespace wherry::kernels {

// Made in Prepare to check it, and again in Run: it is quick, and too large for a kernel's params.
inline bool BinaryBroadcast(const KernelContext& context, math::Broadcast* broadcast) {
  const Span<const int64_t> shapes[] = {context.input(0).shape(), context.input(1).shape()};
  return math::MakeBroadcast(shapes, 2, context.output(0).shape(), broadcast);
}

template <typename In, typename Out>
Status PrepareBinary(PrepareContext& context) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, kDTypeOf<In>));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 1, kDTypeOf<In>));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, kDTypeOf<Out>));
  math::Broadcast broadcast;
  if (!BinaryBroadcast(context, &broadcast)) {
    return context.Fail(Code::kCorrupt, "the inputs do not broadcast to the output's shape");
  }
  return Status::Ok();
}

template <typename In, typename Out, typename F>
void BinaryRow(const void* const* in, const int64_t* step, void* out_row, int64_t n) {
  const F f{};
  const In* a = static_cast<const In*>(in[0]);
  const In* b = static_cast<const In*>(in[1]);
  Out* out = static_cast<Out*>(out_row);
  if (step[0] == 0) {
    const In x = *a;
    if (step[1] == 0) {
      const Out value = f(x, *b);
      for (int64_t i = 0; i < n; ++i) out[i] = value;
      return;
    }
    WHERRY_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = f(x, b[i]);
  } else if (step[1] == 0) {
    const In y = *b;
    WHERRY_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i], y);
  } else {
    WHERRY_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i], b[i]);
  }
}

// out = f(a, b). F has no state. The output may be an input of the same shape.
template <typename In, typename Out, typename F>
Status RunBinary(RunContext& context, const F&) {
  math::Broadcast broadcast;
  if (!BinaryBroadcast(context, &broadcast)) return context.Fail(Code::kCorrupt, "shapes have changed");
  const void* in[] = {context.input(0).data, context.input(1).data};
  const size_t widths[] = {sizeof(In), sizeof(In)};
  void* out = context.output(0).data;
  context.threads().ForRange(broadcast.count, kElementwiseGrain, [&](int64_t begin, int64_t end, int) {
    math::ForRows(broadcast, in, widths, out, sizeof(Out), begin, end, &BinaryRow<In, Out, F>);
  });
  return Status::Ok();
}

// Two's complement without undefined overflow.
template <typename T>
constexpr T WrapAdd(T x, T y) {
  using Unsigned = std::make_unsigned_t<T>;
  return static_cast<T>(static_cast<Unsigned>(x) + static_cast<Unsigned>(y));
}

template <typename T>
constexpr T WrapSub(T x, T y) {
  using Unsigned = std::make_unsigned_t<T>;
  return static_cast<T>(static_cast<Unsigned>(x) - static_cast<Unsigned>(y));
}

template <typename T>
constexpr T WrapMul(T x, T y) {
  using Unsigned = std::make_unsigned_t<T>;
  return static_cast<T>(static_cast<Unsigned>(x) * static_cast<Unsigned>(y));
}

// Integers have no quotient by 0: fails where TensorFlow does.
template <typename T>
Status ExpectNoZeroDivisor(RunContext& context) {
  const T* divisors = context.input(1).as<const T>();
  const int64_t count = context.output(0).count() == 0 ? 0 : context.input(1).count();
  for (int64_t i = 0; i < count; ++i) {
    if (divisors[i] == 0) return context.Fail(Code::kKernelFailed, "integer division by zero");
  }
  return Status::Ok();
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_ELEMENTWISE_BINARY_H_
