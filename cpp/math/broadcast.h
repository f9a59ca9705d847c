// NumPy's broadcasting as a walk over rows: dims that can be walked as one are merged, the innermost becomes the row.
#ifndef WHERRY_MATH_BROADCAST_H_
#define WHERRY_MATH_BROADCAST_H_

#include <cstddef>
#include <cstdint>

#include "runtime/span.h"

namespace wherry::math {

inline constexpr int kMaxBroadcastInputs = 3;
inline constexpr int kMaxBroadcastRank = 8;

struct Broadcast {
  int32_t rank = 0;  // after merging; at least 1
  int32_t inputs = 0;
  int64_t count = 0;                                           // elements of the output
  int64_t dims[kMaxBroadcastRank] = {};                        // outermost first
  int64_t strides[kMaxBroadcastInputs][kMaxBroadcastRank] = {};  // in elements; the last is 0 or 1
  int64_t out_pitch = 0;  // elements from one row of the output to the next, where there are gaps between them; else 0
};

// One row: in[k][i * (step[k])] for i in [0, n), step 0 for an operand that is one element all along; out[i].
using RowFunction = void (*)(const void* const* in, const int64_t* step, void* out, int64_t n);

// pitches, out_pitch: of each input, and of the output, elements from one of its rows (the last dim) to the next; without them
// rows lie one behind the other.
// False when the shapes do not broadcast to exactly `out`, or out has more than kMaxBroadcastRank dims.
[[nodiscard]] bool MakeBroadcast(const Span<const int64_t>* shapes, int inputs, Span<const int64_t> out,
                                 Broadcast* broadcast, const int64_t* pitches = nullptr, int64_t out_pitch = 0);

// Calls `row` for the parts of rows that make up elements [begin, end) of the output, in order. Short rows are joined: where
// an operand repeats, it is copied a few times, once for all of them, and `row` gets many rows as one.
// widths: bytes of an element of each input: 1, 4 or 8.
void ForRows(const Broadcast& broadcast, const void* const* in, const size_t* widths, void* out, size_t out_width,
             int64_t begin, int64_t end, RowFunction row);

}  // namespace wherry::math

#endif  // WHERRY_MATH_BROADCAST_H_
