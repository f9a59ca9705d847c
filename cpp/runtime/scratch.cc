#include "runtime/scratch.h"

#include <algorithm>

namespace wherry {
namespace {

constexpr uint32_t kNever = 0xFFFFFFFFU;
constexpr size_t kMostAlive = 256;  // with more tensors at once no gap is looked for: opening a pack must not take long

struct Lifetime {
  uint32_t first = kNever;  // step that makes it; 0 where none does, as with a view of another tensor
  uint32_t last = 0;        // step that uses it last
};

struct Interval {
  size_t begin;
  size_t end;
};

constexpr size_t RoundUp(size_t bytes) { return (bytes + 63) / 64 * 64; }

bool InArena(const Pack& pack, uint32_t tensor) {
  return static_cast<format::Place>(pack.tensors[tensor].place) == format::Place::kArena;
}

// Calls visit(tensor, step, is_output) for all operands, step by step, and for the pack's outputs, which are used after
// the last step.
template <typename Visit>
void ForEachUse(const Pack& pack, const Visit& visit) {
  const uint32_t count = static_cast<uint32_t>(pack.steps.size());
  for (uint32_t s = 0; s < count; ++s) {
    const format::StepRecord& step = pack.steps[s];
    for (uint64_t k = 0; k < step.num_inputs; ++k) visit(pack.indexes[step.inputs + k], s, false);
    for (uint64_t k = 0; k < step.num_outputs; ++k) visit(pack.indexes[step.outputs + k], s, true);
  }
  for (uint64_t i = 0; i < pack.outputs.size(); ++i) visit(pack.outputs[i].tensor, count, false);
}

// The lowest gap of so many bytes between the intervals, or their end: what does not fit there goes on behind the arena.
// Sorts them.
size_t FindGap(Span<Interval> taken, size_t bytes) {
  std::sort(taken.begin(), taken.end(), [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
  size_t at = 0;
  for (const Interval& interval : taken) {
    if (interval.begin >= at && interval.begin - at >= bytes) break;
    at = std::max(at, RoundUp(interval.end));
  }
  return at;
}

// Calls place(step, intervals of the arena that hold something while it runs), which may sort them. False when memory runs
// out.
template <typename Place>
bool ForEachStep(const Pack& pack, size_t arena_bytes, const Place& place) {
  const size_t count = static_cast<size_t>(pack.tensors.size());
  Array<Lifetime> lifetimes;
  Array<uint32_t> alive;
  Array<Interval> taken;
  if (!lifetimes.Allocate(count) || !alive.Allocate(count) || !taken.Allocate(kMostAlive)) return false;
  for (size_t t = 0; t < count; ++t) lifetimes[t] = Lifetime();
  ForEachUse(pack, [&](uint32_t tensor, uint32_t step, bool is_output) {
    Lifetime& lifetime = lifetimes[tensor];
    if (lifetime.first == kNever) lifetime.first = is_output ? step : 0;
    lifetime.last = step;
  });
  size_t num_alive = 0;
  const auto begin = [&](uint32_t tensor) {
    if (InArena(pack, tensor)) alive[num_alive++] = tensor;
  };
  for (size_t t = 0; t < count; ++t) {
    if (lifetimes[t].first == 0) begin(static_cast<uint32_t>(t));
  }
  for (uint32_t s = 0; s < pack.steps.size(); ++s) {
    const format::StepRecord& record = pack.steps[s];
    for (uint64_t k = 0; k < record.num_outputs && s > 0; ++k) {
      const uint32_t tensor = pack.indexes[record.outputs + k];
      if (lifetimes[tensor].first != s) continue;
      begin(tensor);
      lifetimes[tensor].first = 0;  // has begun
    }
    size_t still = 0;
    for (size_t i = 0; i < num_alive; ++i) {
      if (lifetimes[alive[i]].last >= s) alive[still++] = alive[i];
    }
    num_alive = still;
    for (size_t i = 0; i < num_alive && num_alive <= kMostAlive; ++i) {
      const format::TensorRecord& tensor = pack.tensors[alive[i]];
      taken[i] = {static_cast<size_t>(tensor.offset), static_cast<size_t>(tensor.offset + tensor.bytes)};
    }
    if (num_alive > kMostAlive) taken[0] = {0, arena_bytes};
    place(s, Span<Interval>(taken.data(), num_alive > kMostAlive ? 1 : num_alive));
  }
  return true;
}

}  // namespace

bool PlaceScratch(const Pack& pack, size_t arena_bytes, Span<StepScratch> steps, size_t* behind) {
  size_t end = arena_bytes;
  const bool placed = ForEachStep(pack, arena_bytes, [&](uint32_t s, Span<Interval> taken) {
    if (steps[s].bytes == 0) return;
    steps[s].offset = FindGap(taken, steps[s].bytes);
    end = std::max(end, steps[s].offset + steps[s].bytes);
  });
  *behind = end - arena_bytes;
  return placed && ForEachStep(pack, arena_bytes, [&](uint32_t s, Span<Interval> taken) {
    if (steps[s].room == 0) return;
    const size_t bytes = steps[s].bytes + steps[s].room;
    const size_t offset = FindGap(taken, bytes);
    if (offset + bytes <= end) {
      steps[s].offset = offset;
    } else {
      steps[s].room = 0;
    }
  });
}

}  // namespace wherry
