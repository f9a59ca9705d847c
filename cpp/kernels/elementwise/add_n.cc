// AddN: the sum of any number of inputs of one shape, added in their order.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

namespace {

template <typename T>
Status PrepareAddN(PrepareContext& context) {
  if (context.num_inputs() < 1 || context.num_outputs() != 1) {
    return context.Fail(Code::kCorrupt, "needs at least one input and exactly one output");
  }
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, kDTypeOf<T>));
  for (int i = 0; i < context.num_inputs(); ++i) {
    WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, i, kDTypeOf<T>));
    if (!context.input(i).SameShape(context.output(0))) {
      return context.Fail(Code::kCorrupt, "output and input %d differ in shape", i);
    }
  }
  return Status::Ok();
}

// Blocks stay in the cache while all inputs are added to them; the last block may be short.
template <typename T>
Status RunAddN(RunContext& context) {
  constexpr int64_t kBlock = 2048;
  constexpr int64_t kSteps[] = {1, 1};
  const math::RowFunction add = math::BinaryRows<math::BinaryOp::kAdd, T>(context.isa());
  T* out = context.output(0).as<T>();
  context.threads().ForRange(context.output(0).count(), kElementwiseGrain, [&](int64_t begin, int64_t end, int) {
    T sum[kBlock];
    for (int64_t i = begin; i < end; i += kBlock) {
      const int64_t n = end - i < kBlock ? end - i : kBlock;
      std::memcpy(sum, context.input(0).as<const T>() + i, static_cast<size_t>(n) * sizeof(T));
      for (int k = 1; k < context.num_inputs(); ++k) {
        const void* const in[] = {sum, context.input(k).as<const T>() + i};
        add(in, kSteps, sum, n);
      }
      std::memcpy(out + i, sum, static_cast<size_t>(n) * sizeof(T));
    }
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(AddN_f32)
WHERRY_PREPARE(AddN_f32) { return PrepareAddN<float>(context); }
WHERRY_RUN(AddN_f32) { return RunAddN<float>(context); }
#endif

#if WHERRY_SELECTED(AddN_i32)
WHERRY_PREPARE(AddN_i32) { return PrepareAddN<int32_t>(context); }
WHERRY_RUN(AddN_i32) { return RunAddN<int32_t>(context); }
#endif

}  // namespace wherry::kernels
