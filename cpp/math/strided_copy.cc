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
  MoveContiguousLoop();
  *plan = plan_;
  return true;
}

// A transposition writes along one loop and reads along another. That one is brought next to the innermost, so that
// CopyRows finds a matrix to turn in tiles. The order of loops does not matter otherwise.
void CopyPlanner::MoveContiguousLoop() {
  const int last = plan_.rank - 1;
  if (plan_.in_strides[last] == 1) return;
  for (int d = 0; d < last; ++d) {
    if (plan_.in_strides[d] != 1) continue;
    const int64_t dim = plan_.dims[d];
    const int64_t out_stride = plan_.out_strides[d];
    for (int k = d; k + 1 < last; ++k) {
      plan_.dims[k] = plan_.dims[k + 1];
      plan_.in_strides[k] = plan_.in_strides[k + 1];
      plan_.out_strides[k] = plan_.out_strides[k + 1];
    }
    plan_.dims[last - 1] = dim;
    plan_.in_strides[last - 1] = 1;
    plan_.out_strides[last - 1] = out_stride;
    return;
  }
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

// Rows of a transposition that are turned together: reads and writes both stay within a few cache lines.
constexpr int64_t kTileRows = 16;

// kTileRows rows that are neighbours in the input: out[r * out_row + i] = in[r + i * in_stride].
template <typename T>
void CopyTile(const T* in, int64_t in_stride, T* out, int64_t out_row, int64_t n) {
  int64_t i = 0;
  for (; i + kTileRows <= n; i += kTileRows) {
    T tile[kTileRows][kTileRows];
    for (int64_t k = 0; k < kTileRows; ++k) {
      for (int64_t r = 0; r < kTileRows; ++r) tile[r][k] = in[r + (i + k) * in_stride];
    }
    for (int64_t r = 0; r < kTileRows; ++r) std::memcpy(out + r * out_row + i, tile[r], sizeof(tile[r]));
  }
  for (; i < n; ++i) {
    for (int64_t r = 0; r < kTileRows; ++r) out[r * out_row + i] = in[r + i * in_stride];
  }
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
  const bool turns = last > 0 && plan.in_strides[last] != 1 && plan.out_strides[last] == 1 &&
                     plan.in_strides[last - 1] == 1;
  for (int64_t row = begin; row < end;) {
    int64_t rows = 1;
    if (turns && end - row >= kTileRows && plan.dims[last - 1] - at[last - 1] >= kTileRows) {
      rows = kTileRows;
      CopyTile(in + from, plan.in_strides[last], out + to, plan.out_strides[last - 1], plan.dims[last]);
    } else {
      CopyRow(in + from, plan.in_strides[last], out + to, plan.out_strides[last], plan.dims[last]);
    }
    row += rows;
    for (int d = last - 1; d >= 0; --d, rows = 1) {
      from += rows * plan.in_strides[d];
      to += rows * plan.out_strides[d];
      at[d] += rows;
      if (at[d] < plan.dims[d]) break;
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
