// Reductions of float32 with vectors: sums, means, largest and smallest elements, over the plan of math/reduce.h.
#ifndef WHERRY_MATH_REDUCE_F32_H_
#define WHERRY_MATH_REDUCE_F32_H_

#include <cstddef>
#include <cstdint>

#include "math/isa.h"
#include "math/reduce.h"

namespace wherry::math {

// A reduction, in two ways: `units` computes units [begin, end) of any plan. Where a plan has chunks, the rows of one
// matrix are reduced, and `chunk` and `join` let threads reduce the rows that they wrote before: `chunk` reduces one
// chunk of rows to its place in scratch (ReduceScratchBytes, aligned to 64), `join` all chunks in order.
struct FloatReduction {
  void (*units)(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa);
  void (*chunk)(const ReducePlan& plan, const float* in, int64_t chunk, std::byte* scratch, Isa isa);
  void (*join)(const ReducePlan& plan, const std::byte* scratch, float* out, Isa isa);
};

// Sums in double until the end: as exact as float32 can show, in any order. The mean over nothing is NaN.
FloatReduction SumOfFloats();
FloatReduction MeanOfFloats();

// NaN where there is one, infinite over nothing.
FloatReduction MaxOfFloats();
FloatReduction MinOfFloats();

// Columns of a chunk in scratch: whole vectors are stored.
constexpr int64_t ReduceScratchColumns(const ReducePlan& plan) { return (plan.inner + 15) / 16 * 16; }

constexpr size_t ReduceScratchBytes(const ReducePlan& plan) {
  if (plan.chunks < 2) return 0;
  return sizeof(double) * static_cast<size_t>(plan.chunks * ReduceScratchColumns(plan));
}

}  // namespace wherry::math

#endif  // WHERRY_MATH_REDUCE_F32_H_
