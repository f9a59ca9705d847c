// TopKV2: the k largest along the last dimension and where they are, in falling order; of equals the first comes first.
// k is a constant.
#include "kernels/select.h"
#include "kernels/shape.h"

namespace wherry::kernels {

namespace {

template <typename T>
Status PrepareTopKV2(PrepareContext& context) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 2));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, kDTypeOf<T>));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, kDTypeOf<T>));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 1, DType::kI32));
  const Tensor& input = context.input(0);
  int64_t k = 0;
  WHERRY_RETURN_IF_ERROR(ReadInt(context, 1, &k));
  if (input.rank < 1 || k < 0 || k > input.dim(input.rank - 1)) {
    return context.Fail(Code::kCorrupt, "k is not between 0 and the last dimension");
  }
  int64_t dims[kMaxRank];
  for (int d = 0; d < input.rank; ++d) dims[d] = d + 1 < input.rank ? input.dim(d) : k;
  WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 0, {dims, static_cast<size_t>(input.rank)}));
  WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 1, {dims, static_cast<size_t>(input.rank)}));
  context.params<int64_t>() = k;
  return Status::Ok();
}

// Inserts each element into the sorted best so far: k is small.
template <typename T>
void TopKOfRow(const T* in, int64_t length, int64_t k, T* values, int32_t* indices) {
  int64_t held = 0;
  for (int64_t i = 0; i < length; ++i) {
    if (held == k && !(in[i] > values[k - 1])) continue;
    int64_t at = held < k ? held++ : k - 1;
    for (; at > 0 && in[i] > values[at - 1]; --at) {
      values[at] = values[at - 1];
      indices[at] = indices[at - 1];
    }
    values[at] = in[i];
    indices[at] = static_cast<int32_t>(i);
  }
}

template <typename T>
Status RunTopKV2(RunContext& context) {
  const int64_t k = context.params<int64_t>();
  const Tensor& input = context.input(0);
  const int64_t length = input.dim(input.rank - 1);
  if (k == 0 || length == 0) return Status::Ok();
  const T* in = input.as<const T>();
  T* values = context.output(0).as<T>();
  int32_t* indices = context.output(1).as<int32_t>();
  context.threads().ForRange(input.count() / length, 1 + 16384 / length, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      TopKOfRow(in + row * length, length, k, values + row * k, indices + row * k);
    }
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(TopKV2_f32)
WHERRY_PREPARE(TopKV2_f32) { return PrepareTopKV2<float>(context); }
WHERRY_RUN(TopKV2_f32) { return RunTopKV2<float>(context); }
#endif

#if WHERRY_SELECTED(TopKV2_i32)
WHERRY_PREPARE(TopKV2_i32) { return PrepareTopKV2<int32_t>(context); }
WHERRY_RUN(TopKV2_i32) { return RunTopKV2<int32_t>(context); }
#endif

}  // namespace wherry::kernels
