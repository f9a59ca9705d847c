#include "runtime/residency.h"

#include <algorithm>
#include <limits>

namespace wherry {
namespace {

// Shares of the limit that the window may have, in sixteenths. More of it hides longer stretches in which reading is
// slower than computing, and leaves less for what stays.
constexpr uint64_t kWindowShares[] = {2, 3, 4, 6, 8, 12};

struct Candidate {
  double worth;
  uint32_t segment;
};

uint64_t WindowBytes(const ResidencyProblem& problem, uint32_t segment) {
  return problem.segment_bytes[segment] + problem.window_extra;
}

// Bytes in the window for the step that streams the most.
template <typename Stays>
uint64_t MostStreamed(const ResidencyProblem& problem, const Stays& stays) {
  uint64_t most = 0;
  uint64_t step_bytes = 0;
  for (size_t i = 0; i < problem.uses.size(); ++i) {
    if (i > 0 && problem.uses[i].step != problem.uses[i - 1].step) step_bytes = 0;
    if (!stays(problem.uses[i].segment)) step_bytes += WindowBytes(problem, problem.uses[i].segment);
    most = std::max(most, step_bytes);
  }
  return most;
}

// Two runs, one behind the other, as reading for the second begins in the first.
class Simulation {
 public:
  // ready: two values for each step.
  Simulation(const ResidencyProblem& problem, const Array<bool>& stays, uint64_t window, Span<double> ready)
      : problem_(problem), stays_(stays), window_(window), ready_(ready), steps_(problem.step_seconds.size()) {
    std::fill(ready_.begin(), ready_.end(), 0.0);
  }

  // Seconds from the end of the first run to the end of the second.
  double Seconds() {
    for (size_t run = 0; run < 2; ++run) {
      for (const WeightUse& use : problem_.uses) {
        if (!stays_[use.segment]) Read(run * steps_ + use.step, WindowBytes(problem_, use.segment));
      }
    }
    while (computed_steps_ < 2 * steps_) Compute();
    return computed_ - first_run_;
  }

 private:
  // Reads for a step as soon as there is room.
  void Read(size_t step, uint64_t bytes) {
    while (held_ + bytes > window_ && computed_steps_ < step) {
      Compute();
      read_ = std::max(read_, computed_);
    }
    read_ += static_cast<double>(bytes) / problem_.io.bytes_per_second + problem_.io.seconds_per_read;
    held_ += bytes;
    ready_[step] = read_;
  }

  // Computes the next step and frees its weights.
  void Compute() {
    const size_t step = computed_steps_ % steps_;
    computed_ = std::max(computed_, ready_[computed_steps_]) + problem_.step_seconds[step];
    for (; next_use_ < problem_.uses.size() && problem_.uses[next_use_].step == step; ++next_use_) {
      const uint32_t segment = problem_.uses[next_use_].segment;
      if (!stays_[segment]) held_ -= WindowBytes(problem_, segment);
    }
    if (++computed_steps_ == steps_) {
      first_run_ = computed_;
      next_use_ = 0;
    }
  }

  const ResidencyProblem& problem_;
  const Array<bool>& stays_;
  const uint64_t window_;
  const Span<double> ready_;  // when all weights of a step are there
  const size_t steps_;        // of one run
  double read_ = 0;           // when the last read ends
  double computed_ = 0;       // when the last step that was computed ends
  double first_run_ = 0;
  uint64_t held_ = 0;         // bytes in the window
  size_t computed_steps_ = 0;
  size_t next_use_ = 0;
};

// Lets segments stay, in the order of `candidates`, where they leave the window its bytes.
uint64_t Fill(Span<const Candidate> candidates, Span<const uint64_t> bytes, uint64_t room, Array<bool>* stays) {
  uint64_t filled = 0;
  for (const Candidate& candidate : candidates) {
    const bool fits = bytes[candidate.segment] <= room - filled;
    (*stays)[candidate.segment] = fits;
    if (fits) filled += bytes[candidate.segment];
  }
  return filled;
}

uint64_t Streamed(const ResidencyProblem& problem, const Array<bool>& stays) {
  uint64_t bytes = 0;
  for (const WeightUse& use : problem.uses) {
    if (!stays[use.segment]) bytes += problem.segment_bytes[use.segment];
  }
  return bytes;
}

}  // namespace

bool PlanResidency(const ResidencyProblem& problem, ResidencyPlan* plan) {
  const size_t segments = problem.segment_bytes.size();
  Array<double> seconds;
  Array<uint32_t> uses;
  Array<Candidate> candidates;
  Array<double> ready;
  Array<bool> stays;
  if (!seconds.Allocate(segments) || !uses.Allocate(segments) || !candidates.Allocate(segments) ||
      !ready.Allocate(2 * problem.step_seconds.size()) || !stays.Allocate(segments) || !plan->stays.Allocate(segments)) {
    return false;
  }
  for (const WeightUse& use : problem.uses) {
    ++uses[use.segment];
    seconds[use.segment] += problem.step_seconds[use.step];
  }
  size_t count = 0;
  uint64_t all = 0;
  uint64_t little = 0;
  for (uint32_t s = 0; s < segments; ++s) {
    if (uses[s] == 0 || problem.segment_bytes[s] == 0) continue;
    all += problem.segment_bytes[s];
    // Where steps share it, a segment takes more memory in the window than where it stays, and what lies around it with it.
    const bool stays_first = uses[s] > 1 && problem.segment_bytes[s] <= problem.window_extra;
    if (stays_first) little += problem.segment_bytes[s];
    // Seconds of reading saved for a byte of memory, times seconds of reading for each second of computing.
    const double bytes = static_cast<double>(problem.segment_bytes[s]);
    const double reads = static_cast<double>(uses[s]);
    const double read = reads * (bytes / problem.io.bytes_per_second + problem.io.seconds_per_read);
    const double worth = read / bytes * read / std::max(seconds[s], 1e-9);
    candidates[count++] = {stays_first ? std::numeric_limits<double>::infinity() : worth, s};
  }
  const Span<Candidate> sorted = {candidates.data(), count};
  std::sort(sorted.begin(), sorted.end(), [](const Candidate& a, const Candidate& b) {
    return a.worth != b.worth ? a.worth > b.worth : a.segment < b.segment;
  });
  const auto consider = [&](uint64_t window) {
    const uint64_t resident = Fill(sorted, problem.segment_bytes, problem.limit - window, &stays);
    if (MostStreamed(problem, [&](uint32_t s) { return stays[s]; }) > window) return;
    const double time = Simulation(problem, stays, window, ready.span()).Seconds();
    if (plan->seconds > 0 && time >= plan->seconds * 0.999) return;
    plan->seconds = time;
    plan->window_bytes = window;
    plan->resident_bytes = resident;
    plan->streamed_bytes = Streamed(problem, stays);
    std::copy(stays.begin(), stays.end(), plan->stays.begin());
  };
  plan->seconds = 0;
  if (all <= problem.limit) {
    consider(0);
    plan->seconds = std::max(plan->seconds, 1e-9);
    return true;
  }
  const uint64_t most = problem.limit - std::min(little, problem.limit);
  const uint64_t least = std::min(problem.least_window, most);
  for (const uint64_t share : kWindowShares) {
    if (problem.limit / 16 * share >= least) consider(problem.limit / 16 * share);
  }
  if (least > 0) consider(least);
  if (most > least) consider(most);
  if (plan->seconds <= 0) consider(problem.limit);
  return true;
}

}  // namespace wherry
