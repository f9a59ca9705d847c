#include "math/broadcast.h"

namespace wherry::math {

bool MakeBroadcast(const Span<const int64_t>* shapes, int inputs, Span<const int64_t> out, Broadcast* broadcast) {
  const int rank = static_cast<int>(out.size());
  if (rank > kMaxBroadcastRank || inputs > kMaxBroadcastInputs) return false;
  int64_t strides[kMaxBroadcastInputs][kMaxBroadcastRank] = {};
  bool reached[kMaxBroadcastRank] = {};  // some input has the output's size there
  for (int k = 0; k < inputs; ++k) {
    const int offset = rank - static_cast<int>(shapes[k].size());
    if (offset < 0) return false;
    int64_t stride = 1;
    for (int d = rank - 1; d >= offset; --d) {
      const int64_t dim = shapes[k][static_cast<size_t>(d - offset)];
      const int64_t wanted = out[static_cast<size_t>(d)];
      if (dim != wanted && dim != 1) return false;
      reached[d] = reached[d] || dim == wanted;
      strides[k][d] = dim == 1 ? 0 : stride;
      stride *= dim;
    }
  }
  Broadcast result;
  result.inputs = inputs;
  result.count = 1;
  for (int d = 0; d < rank; ++d) {
    const int64_t dim = out[static_cast<size_t>(d)];
    if (!reached[d] && dim != 1) return false;
    result.count *= dim;
    if (dim == 1) continue;
    const int last = result.rank - 1;
    bool merges = last >= 0;
    for (int k = 0; merges && k < inputs; ++k) merges = result.strides[k][last] == strides[k][d] * dim;
    const int target = merges ? last : result.rank++;
    result.dims[target] = merges ? result.dims[target] * dim : dim;
    for (int k = 0; k < inputs; ++k) result.strides[k][target] = strides[k][d];
  }
  if (result.rank == 0) {
    result.rank = 1;
    result.dims[0] = 1;
  }
  *broadcast = result;
  return true;
}

void ForRows(const Broadcast& broadcast, const void* const* in, const size_t* widths, void* out, size_t out_width,
             int64_t begin, int64_t end, RowFunction row) {
  const int last = broadcast.rank - 1;
  const int inputs = broadcast.inputs;
  const int64_t length = broadcast.dims[last];
  int64_t at[kMaxBroadcastRank] = {};  // coordinates of element `begin`
  int64_t rest = begin;
  for (int d = last; d >= 0 && begin < end; --d) {
    at[d] = rest % broadcast.dims[d];
    rest /= broadcast.dims[d];
  }
  int64_t offset[kMaxBroadcastInputs] = {};
  int64_t step[kMaxBroadcastInputs] = {};
  for (int k = 0; k < inputs; ++k) {
    step[k] = broadcast.strides[k][last];
    for (int d = 0; d < last; ++d) offset[k] += at[d] * broadcast.strides[k][d];
  }
  for (int64_t i = begin; i < end;) {
    const int64_t n = length - at[last] < end - i ? length - at[last] : end - i;
    const void* sources[kMaxBroadcastInputs];
    for (int k = 0; k < inputs; ++k) {
      sources[k] = static_cast<const char*>(in[k]) + static_cast<size_t>(offset[k] + at[last] * step[k]) * widths[k];
    }
    row(sources, step, static_cast<char*>(out) + static_cast<size_t>(i) * out_width, n);
    i += n;
    at[last] = 0;
    for (int d = last - 1; d >= 0; --d) {
      for (int k = 0; k < inputs; ++k) offset[k] += broadcast.strides[k][d];
      if (++at[d] < broadcast.dims[d]) break;
      for (int k = 0; k < inputs; ++k) offset[k] -= broadcast.strides[k][d] * broadcast.dims[d];
      at[d] = 0;
    }
  }
}

}  // namespace wherry::math
