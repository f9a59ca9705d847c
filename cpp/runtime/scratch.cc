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

bool PlaceScratch(const Pack& pack, size_t arena_bytes, Span<StepScratch> steps, size_t* behind) {
  size_t end = arena_bytes;
  const bool placed = ForEachStep(pack, [&](size_t s, Span<const ArenaRange> taken) {
    if (steps[s].bytes == 0) return;
    steps[s].offset = FindGap(taken, steps[s].bytes);
    end = std::max(end, steps[s].offset + steps[s].bytes);
  });
  *behind = end - arena_bytes;
  return placed && ForEachStep(pack, [&](size_t s, Span<const ArenaRange> taken) {
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
