// Which rows of each tensor of a chain of sliding windows are computed, strip after strip, when only a few rows of the
// tensors between are kept.
//
// Window i of a chain makes tensor i + 1 from tensor i. A run goes over a range of rows of the last tensor from the first
// to the last row. What one strip computed and the next one reads again stays in the tensor's buffer, moved to its
// front; so within a range no row is computed twice.
#ifndef WHERRY_MATH_STRIPS_H_
#define WHERRY_MATH_STRIPS_H_

#include <algorithm>
#include <cstdint>

#include "math/window.h"

namespace wherry::math {

struct Rows {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

// The rows that output rows `out`, which are not empty, read of the image.
inline Rows RowsRead(const WindowAxis& axis, Rows out) {
  const int64_t extent = (axis.filter - 1) * axis.dilation + 1;
  const int64_t begin = std::clamp<int64_t>(out.begin * axis.stride - axis.before, 0, axis.in);
  return {begin, std::clamp<int64_t>((out.end - 1) * axis.stride - axis.before + extent, begin, axis.in)};
}

// The most image rows that `count` output rows read.
inline int64_t MostRowsRead(const WindowAxis& axis, int64_t count) {
  return count < 1 ? 0 : std::min(axis.in, (count - 1) * axis.stride + (axis.filter - 1) * axis.dilation + 1);
}

// The rows of one tensor between two windows.
struct KeptRows {
  Rows kept;     // of the tensor, in the buffer from its front on; before the strip's own are computed
  Rows fresh;    // to be computed, behind those kept
  int64_t drop;  // rows at the front of the buffer that nobody reads any more: what follows moves there first
};

// Plans one strip. axes: of `count` windows; tensors[i], 0 < i < count, is the input of window i; first: nothing is kept
// yet. strip: the rows of the last tensor. Afterwards a tensor's buffer holds [kept.begin, fresh.end), at most
// MostRowsRead() rows, and window i is to compute tensors[i + 1].fresh (the last one: the strip).
inline void PlanStrip(const WindowAxis* axes, int count, Rows strip, bool first, KeptRows* tensors) {
  Rows wanted = strip;
  for (int i = count - 1; i > 0; --i) {
    KeptRows& tensor = tensors[i];
    const int64_t held_from = first ? 0 : tensor.kept.begin;
    const Rows held = {held_from, first ? 0 : tensor.fresh.end};
    Rows reads = held;
    if (wanted.size() > 0) {
      reads = RowsRead(axes[i], wanted);
    } else {
      reads.end = held.end;
    }
    const int64_t begin = first ? reads.begin : std::max(reads.begin, held.begin);
    const int64_t end = first ? begin : std::max(held.end, begin);
    tensor.drop = first ? 0 : std::min(begin, held.end) - held.begin;
    tensor.kept = {begin, end};
    tensor.fresh = {end, std::max(reads.end, end)};
    wanted = tensor.fresh;
  }
}

}  // namespace wherry::math

#endif  // WHERRY_MATH_STRIPS_H_
