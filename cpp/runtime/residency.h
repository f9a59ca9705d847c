// Which weights stay in memory and which are streamed, for the shortest run that fits into a limit.
//
// A run uses segments in a fixed order. Those that stay are read once; the others are read again in every run, into a
// window of memory that one thread fills ahead of the computation. A byte that stays saves as much reading wherever it
// lies, but for what several steps read and what is too small for a request of its own; so what decides is where reading
// would hold the computation up: segments that take the longest to read for the time of their steps stay first. How much of the limit the window should have is found by simulating runs.
#ifndef WHERRY_RUNTIME_RESIDENCY_H_
#define WHERRY_RUNTIME_RESIDENCY_H_

#include <cstdint>

#include "runtime/span.h"

namespace wherry {

// One reading of weights: a step needs a segment.
struct WeightUse {
  uint32_t step;
  uint32_t segment;
};

// What reading costs.
struct IoCost {
  double bytes_per_second = 1e9;
  double seconds_per_read = 1e-4;
};

struct ResidencyProblem {
  Span<const WeightUse> uses;           // in the order of steps
  Span<const uint64_t> segment_bytes;   // of memory that each segment takes where it stays
  uint64_t window_extra = 0;            // bytes that a use takes in the window beyond its segment's
  Span<const double> step_seconds;      // of computation
  IoCost io;
  uint64_t limit = 0;                   // bytes for weights
  uint64_t least_window = 0;            // of the window, where the limit allows
};

struct ResidencyPlan {
  Array<bool> stays;         // for each segment
  uint64_t resident_bytes = 0;
  uint64_t window_bytes = 0;    // for those that are streamed
  uint64_t streamed_bytes = 0;  // that every run reads
  double seconds = 0;           // of a run, from the second one on
};

// Finds a plan. The limit is at least what any step needs in the window. Takes time n log n for n uses. False when memory runs out.
[[nodiscard]] bool PlanResidency(const ResidencyProblem& problem, ResidencyPlan* plan);

}  // namespace wherry

#endif  // WHERRY_RUNTIME_RESIDENCY_H_
