// What data-moving kernels share: elements of any type of one width, and a planned copy that threads divide.
#ifndef WHERRY_KERNELS_ARRAY_COPY_H_
#define WHERRY_KERNELS_ARRAY_COPY_H_

#include "kernels/select.h"
#include "kernels/shape.h"
#include "math/strided_copy.h"

namespace wherry::kernels {

// Bytes that are worth a thread of their own.
inline constexpr int64_t kCopyGrainBytes = 131072;

// Input i and output j hold elements of one type, `width` bytes each.
inline Status ExpectSameElements(const PrepareContext& context, int i, int j, size_t width) {
  WHERRY_RETURN_IF_ERROR(ExpectInputWidth(context, i, width));
  WHERRY_RETURN_IF_ERROR(ExpectOutputWidth(context, j, width));
  if (context.input(i).dtype != context.output(j).dtype) {
    return context.Fail(Code::kCorrupt, "input %d and output %d differ in type", i, j);
  }
  return Status::Ok();
}

// Keeps the planner's result in params.
inline Status KeepPlan(PrepareContext& context, math::CopyPlanner& planner) {
  if (!planner.Finish(&context.params<math::CopyPlan>())) {
    return context.Fail(Code::kCorrupt, "this copy takes over 8 nested loops");
  }
  return Status::Ok();
}

// Copies as planned; in and out are the starts of tensors.
inline void RunCopy(RunContext& context, const math::CopyPlan& plan, size_t width, const void* in, void* out) {
  const int64_t row_bytes = plan.row_length() * static_cast<int64_t>(width);
  const int64_t grain = 1 + kCopyGrainBytes / (row_bytes > 0 ? row_bytes : 1);
  context.threads().ForRange(plan.rows(), grain, [&](int64_t begin, int64_t end, int) {
    math::CopyRows(plan, width, in, out, begin, end);
  });
}

// Input 0 to output 0 by the plan in params.
inline Status RunKeptPlan(RunContext& context, size_t width) {
  RunCopy(context, context.params<math::CopyPlan>(), width, context.input(0).data, context.output(0).data);
  return Status::Ok();
}

// Row-major strides in elements.
inline void RowMajorStrides(const Tensor& tensor, int64_t* strides) {
  int64_t stride = 1;
  for (int d = tensor.rank - 1; d >= 0; --d) {
    strides[d] = stride;
    stride *= tensor.dim(d);
  }
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_ARRAY_COPY_H_
