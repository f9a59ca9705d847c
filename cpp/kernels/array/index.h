// Tensors of indices: int32 or int64, decided when they are read, so that kernels need no copy for each.
#ifndef WHERRY_KERNELS_ARRAY_INDEX_H_
#define WHERRY_KERNELS_ARRAY_INDEX_H_

#include "kernels/shape.h"

namespace wherry::kernels {

inline Status ExpectIndices(const PrepareContext& context, int i) {
  if (i >= context.num_inputs()) return context.Fail(Code::kCorrupt, "input %d is missing", i);
  const Tensor& input = context.input(i);
  if ((input.dtype != DType::kI32 && input.dtype != DType::kI64) || !IsPlain(input) || input.rank > kMaxRank) {
    return context.Fail(Code::kCorrupt, "input %d does not hold indices of type i32 or i64", i);
  }
  return Status::Ok();
}

inline int64_t IndexAt(const Tensor& indices, int64_t i) {
  return indices.dtype == DType::kI32 ? indices.as<const int32_t>()[i] : indices.as<const int64_t>()[i];
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_ARRAY_INDEX_H_
