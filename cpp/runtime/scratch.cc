#include "runtime/scratch.h"

#include <algorithm>

#include "runtime/live_bytes.h"

namespace wherry {
namespace {

constexpr size_t RoundUp(size_t bytes) { return (bytes + 63) / 64 * 64; }

// The lowest gap of so many bytes between the ranges, or their end: what does not fit there goes on behind the arena.
size_t FindGap(Span<const ArenaRange> taken, size_t bytes) {
  size_t at = 0;
  for (size_t i = 0; i < taken.size(); ++i) {
    const size_t begin = static_cast<size_t>(taken[i].begin);
    if (begin >= at && begin - at >= bytes) break;
    at = std::max(at, RoundUp(static_cast<size_t>(taken[i].end)));
  }
  return at;
}

// Bytes of the largest gap between the ranges and up to `end`.
size_t LargestGap(Span<const ArenaRange> taken, size_t end) {
  size_t most = 0;
  size_t at = 0;
  for (size_t i = 0; i <= taken.size(); ++i) {
    const size_t next = i < taken.size() ? static_cast<size_t>(taken[i].begin) : end;
    if (next > at) most = std::max(most, next - at);
    if (i < taken.size()) at = std::max(at, RoundUp(static_cast<size_t>(taken[i].end)));
  }
  return most / 64 * 64;
}

// Calls place(step, bytes of the arena that hold something while it runs), the last step first. False when memory runs out.
template <typename Place>
bool ForEachStep(const Pack& pack, const Place& place) {
  LiveBytes alive;
  if (!alive.Start(pack)) return false;
  for (uint64_t s = pack.steps.size(); s > 0; --s) {
    alive.Enter(s - 1);
    place(static_cast<size_t>(s - 1), alive.ranges());
    alive.Leave(s - 1);
  }
  return true;
}

}  // namespace

bool PlaceScratch(const Pack& pack, size_t arena_bytes, size_t spare, Span<StepScratch> steps, const ScratchSizes& sizes,
                  size_t* end) {
  size_t last = arena_bytes;
  const bool placed = ForEachStep(pack, [&](size_t s, Span<const ArenaRange> taken) {
    StepScratch& step = steps[s];
    step.limit = kNoScratchLimit;
    if (step.bytes == 0) return;
    step.offset = FindGap(taken, step.bytes);
    if (step.offset + step.bytes > arena_bytes + spare) {
      step.limit = LargestGap(taken, arena_bytes + spare);
      step.bytes = sizes(s, step.limit);
      step.offset = FindGap(taken, step.bytes);
    }
    last = std::max(last, step.offset + step.bytes);
  });
  *end = last;
  return placed && ForEachStep(pack, [&](size_t s, Span<const ArenaRange> taken) {
    if (steps[s].room == 0) return;
    const size_t bytes = steps[s].bytes + steps[s].room;
    const size_t offset = FindGap(taken, bytes);
    if (offset + bytes <= last) {
      steps[s].offset = offset;
    } else {
      steps[s].room = 0;
    }
  });
}

bool FindLeastEnd(const Pack& pack, size_t arena_bytes, Span<const StepScratch> steps, const ScratchSizes& sizes, size_t* end) {
  *end = arena_bytes;
  return ForEachStep(pack, [&](size_t s, Span<const ArenaRange> taken) {
    size_t bytes = steps[s].bytes + steps[s].room;
    if (FindGap(taken, bytes) + bytes <= *end) return;
    bytes = sizes(s, 0) + steps[s].room;
    *end = std::max(*end, RoundUp(FindGap(taken, bytes) + bytes));
  });
}

bool PlaceThriftily(const Pack& pack, size_t end, Span<StepScratch> steps, const ScratchSizes& sizes) {
  return ForEachStep(pack, [&](size_t s, Span<const ArenaRange> taken) {
    StepScratch& step = steps[s];
    step.limit = kNoScratchLimit;
    step.offset = FindGap(taken, step.bytes + step.room);
    if (step.offset + step.bytes + step.room <= end) return;
    const size_t gap = LargestGap(taken, end);
    const size_t limits[] = {gap - std::min(gap, step.room), 0};
    for (const size_t limit : limits) {
      step.limit = limit;
      step.bytes = sizes(s, limit);
      step.offset = FindGap(taken, step.bytes + step.room);
      if (step.offset + step.bytes + step.room <= end) return;
    }
  });
}

}  // namespace wherry
