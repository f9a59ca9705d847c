// Reductions of float32 with vectors: sums, means, largest and smallest elements, over the plan of math/reduce.h.
#ifndef WHERRY_MATH_REDUCE_F32_H_
#define WHERRY_MATH_REDUCE_F32_H_

#include <cstdint>

#include "math/isa.h"
#include "math/reduce.h"

namespace wherry::math {

// Each computes units [begin, end) of the plan.
using ReduceFloats = void (*)(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa);

// Sums in double until the end: as exact as float32 can show, in any order. The mean over nothing is NaN.
void SumFloats(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa);
void MeanFloats(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa);

// NaN where there is one, infinite over nothing.
void MaxFloats(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa);
void MinFloats(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_REDUCE_F32_H_
