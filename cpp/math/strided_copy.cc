#include "math/strided_copy.h"

#include <cstring>

namespace wherry::math {

void CopyPlanner::Loop(int64_t dim, int64_t in_stride, int64_t out_stride) {
  if (dim == 0) empty_ = true;
  if (dim == 1) return;
  const int last = plan_.rank - 1;
  if (last >= 0 && plan_.in_strides[last] == in_stride * dim && plan_.out_strides[last] == out_stride * dim) {
    plan_.dims[last] *= dim;
    plan_.in_strides[last] = in_stride;
    plan_.out_strides[last] = out_stride;
    return;
  }
  if (plan_.rank == kMaxCopyRank) {
    too_many_ = true;
    return;
  }
  plan_.dims[plan_.rank] = dim;
  plan_.in_strides[plan_.rank] = in_stride;
  plan_.out_strides[plan_.rank] = out_stride;
  ++plan_.rank;
}

bool CopyPlanner::Finish(CopyPlan* plan) {
  if (too_many_) return false;
  if (empty_ || plan_.rank == 0) {
    plan_.rank = 1;
    plan_.dims[0] = empty_ ? 0 : 1;
    plan_.in_strides[0] = 1;
    plan_.out_strides[0] = 1;
  }
  *plan = plan_;
  return true;
}

namespace {

template <typename T>
void CopyRow(const T* in, int64_t in_stride, T* out, int64_t out_stride, int64_t n) {
  if (out_stride == 1) {
    if (in_stride == 1) {
      std::memcpy(out, in, static_cast<size_t>(n) * sizeof(T));
    } else if (in_stride == 0) {
      const T value = *in;
      for (int64_t i = 0; i < n; ++i) out[i] = value;
    } else {
      for (int64_t i = 0; i < n; ++i) out[i] = in[i * in_stride];
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i) out[i * out_stride] = in[i * in_stride];
}

template <typename T>
void CopyAll(const CopyPlan& plan, const T* in, T* out, int64_t begin, int64_t end) {
  const int last = plan.rank - 1;
  int64_t at[kMaxCopyRank] = {};
  int64_t from = plan.in_base;
  int64_t to = plan.out_base;
  int64_t rest = begin;
  for (int d = last - 1; d >= 0; --d) {
    at[d] = rest % plan.dims[d];
    rest /= plan.dims[d];
    from += at[d] * plan.in_strides[d];
    to += at[d] * plan.out_strides[d];
  }
  for (int64_t row = begin; row < end; ++row) {
    CopyRow(in + from, plan.in_strides[last], out + to, plan.out_strides[last], plan.dims[last]);
    for (int d = last - 1; d >= 0; --d) {
      from += plan.in_strides[d];
      to += plan.out_strides[d];
      if (++at[d] < plan.dims[d]) break;
      from -= plan.in_strides[d] * plan.dims[d];
      to -= plan.out_strides[d] * plan.dims[d];
      at[d] = 0;
    }
  }
}

}  // namespace

void CopyRows(const CopyPlan& plan, size_t width, const void* in, void* out, int64_t begin, int64_t end) {
  if (begin >= end) return;
  switch (width) {
    case 1: return CopyAll(plan, static_cast<const uint8_t*>(in), static_cast<uint8_t*>(out), begin, end);
    case 2: return CopyAll(plan, static_cast<const uint16_t*>(in), static_cast<uint16_t*>(out), begin, end);
    case 4: return CopyAll(plan, static_cast<const uint32_t*>(in), static_cast<uint32_t*>(out), begin, end);
    case 8: return CopyAll(plan, static_cast<const uint64_t*>(in), static_cast<uint64_t*>(out), begin, end);
    default: return;
  }
}

}  // namespace wherry::math
