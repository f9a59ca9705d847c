#include "runtime/crossing.h"

namespace wherry {
namespace {

// Calls visit(partitions done, bytes that are alive then) from the last partition to the first. False when memory is short.
template <typename Visit>
bool ForEachEnd(const Pack& pack, const Visit& visit) {
  LiveBytes alive;
  if (!alive.Start(pack)) return false;
  for (uint64_t p = pack.partitions.size(); p > 0; --p) {
    visit(p, alive.ranges());
    const format::PartitionRecord& partition = pack.partitions[p - 1];
    for (uint64_t s = uint64_t{partition.first_step} + partition.num_steps; s > partition.first_step; --s) {
      alive.Leave(s - 1);
    }
  }
  return true;
}

}  // namespace

bool Crossing::Build(const Pack& pack) {
  const uint64_t partitions = pack.partitions.size();
  if (!first_.Allocate(static_cast<size_t>(partitions) + 2)) return false;
  uint64_t total = 0;
  const bool counted = ForEachEnd(pack, [&](uint64_t done, Span<const ArenaRange> alive) {
    first_[done + 1] = static_cast<uint32_t>(alive.size());
    total += alive.size();
  });
  if (!counted || total > UINT32_MAX || !ranges_.Allocate(static_cast<size_t>(total))) return false;
  for (uint64_t done = 1; done <= partitions; ++done) first_[done + 1] += first_[done];
  return ForEachEnd(pack, [this](uint64_t done, Span<const ArenaRange> alive) {
    for (size_t i = 0; i < alive.size(); ++i) ranges_[first_[done] + i] = alive[i];
  });
}

}  // namespace wherry
