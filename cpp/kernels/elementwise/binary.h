// The shape that all two-input elementwise kernels share: NumPy's broadcasting, up to 8 dims.
#ifndef WHERRY_KERNELS_ELEMENTWISE_BINARY_H_
#define WHERRY_KERNELS_ELEMENTWISE_BINARY_H_

#include <type_traits>

#include "kernels/elementwise/unary.h"
#include "kernels/select.h"
#include "kernels/shape.h"
#include "math/binary.h"
#include "math/broadcast.h"

namespace wherry::kernels {

using math::BinaryOp;

// Made in Prepare to check it, and again in Run: it is quick, and too large for a kernel's params.
inline bool BinaryBroadcast(const KernelContext& context, math::Broadcast* broadcast) {
  const Span<const int64_t> shapes[] = {context.input(0).shape(), context.input(1).shape()};
  const int64_t pitches[] = {context.input(0).pitch, context.input(1).pitch};
  return math::MakeBroadcast(shapes, 2, context.output(0).shape(), broadcast, pitches, context.output(0).pitch);
}

template <typename In, typename Out>
Status PrepareBinary(PrepareContext& context) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, kDTypeOf<In>));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 1, kDTypeOf<In>));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, kDTypeOf<Out>));
  context.AllowPitch(3, 1);
  math::Broadcast broadcast;
  if (!BinaryBroadcast(context, &broadcast)) {
    return context.Fail(Code::kCorrupt, "the inputs do not broadcast to the output's shape");
  }
  return Status::Ok();
}

// out = f(a, b), by rows, which may have gaps between them. The output may be an input of the same shape.
template <typename In, typename Out>
Status RunBinary(RunContext& context, math::RowFunction row) {
  math::Broadcast broadcast;
  if (!BinaryBroadcast(context, &broadcast)) return context.Fail(Code::kCorrupt, "shapes have changed");
  const void* in[] = {context.input(0).data, context.input(1).data};
  const size_t widths[] = {sizeof(In), sizeof(In)};
  void* out = context.output(0).data;
  context.threads().ForRange(broadcast.count, kElementwiseGrain, [&](int64_t begin, int64_t end, int) {
    math::ForRows(broadcast, in, widths, out, sizeof(Out), begin, end, row);
  });
  return Status::Ok();
}

// What math/binary.h has.
template <BinaryOp kOp, typename T>
using BinaryResult = std::conditional_t<math::IsComparison(kOp), bool, T>;

template <BinaryOp kOp, typename T>
Status PrepareBinary(PrepareContext& context) {
  return PrepareBinary<T, BinaryResult<kOp, T>>(context);
}

template <BinaryOp kOp, typename T>
Status RunBinary(RunContext& context) {
  return RunBinary<T, BinaryResult<kOp, T>>(context, math::BinaryRows<kOp, T>(context.isa()));
}

// What it has not: F is a function of two T without state, one element at a time.
template <typename T, typename F>
Status RunBinaryScalars(RunContext& context, const F&) {
  return RunBinary<T, T>(context, [](const void* const* in, const int64_t* step, void* out_row, int64_t n) {
    const F f{};
    const T* a = static_cast<const T*>(in[0]);
    const T* b = static_cast<const T*>(in[1]);
    T* out = static_cast<T*>(out_row);
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i * step[0]], b[i * step[1]]);
  });
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
