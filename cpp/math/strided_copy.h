// Copies of elements between two strided views: what transposing, slicing, reversing, tiling, cutting into blocks
// and joining them come down to.
#ifndef WHERRY_MATH_STRIDED_COPY_H_
#define WHERRY_MATH_STRIDED_COPY_H_

#include <cstddef>
#include <cstdint>

namespace wherry::math {

inline constexpr int kMaxCopyRank = 8;

// Loops around a copy of one element: out[out_base + sum(i_d * out_strides_d)] = in[in_base + ...]; all in elements.
struct CopyPlan {
  int32_t rank = 0;  // at least 1, outermost first
  int32_t reserved = 0;
  int64_t in_base = 0;
  int64_t out_base = 0;
  int64_t dims[kMaxCopyRank] = {};
  int64_t in_strides[kMaxCopyRank] = {};
  int64_t out_strides[kMaxCopyRank] = {};

  // Runs of the innermost loop; 0 when there is nothing to copy.
  int64_t rows() const {
    int64_t n = dims[rank - 1] == 0 ? 0 : 1;
    for (int d = 0; d + 1 < rank; ++d) n *= dims[d];
    return n;
  }
  int64_t row_length() const { return dims[rank - 1]; }
};

// Collects loops from the outside in and merges those that can run as one.
class CopyPlanner {
 public:
  void Base(int64_t in, int64_t out) {
    plan_.in_base = in;
    plan_.out_base = out;
  }
  void Loop(int64_t dim, int64_t in_stride, int64_t out_stride);
  // False when more than kMaxCopyRank loops remain.
  [[nodiscard]] bool Finish(CopyPlan* plan);

 private:
  void MoveContiguousLoop();

  CopyPlan plan_;
  bool too_many_ = false;
  bool empty_ = false;
};

// Runs rows [begin, end). width: bytes of an element: 1, 2, 4 or 8. The views must not overlap.
void CopyRows(const CopyPlan& plan, size_t width, const void* in, void* out, int64_t begin, int64_t end);

}  // namespace wherry::math

#endif  // WHERRY_MATH_STRIDED_COPY_H_
