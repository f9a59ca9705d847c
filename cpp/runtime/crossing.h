// What a run has to remember between two partitions: the bytes of the arena that later steps read.
#ifndef WHERRY_RUNTIME_CROSSING_H_
#define WHERRY_RUNTIME_CROSSING_H_

#include <cstdint>

#include "runtime/live_bytes.h"
#include "runtime/pack.h"
#include "runtime/span.h"

namespace wherry {

class Crossing {
 public:
  // False when memory is short.
  [[nodiscard]] bool Build(const Pack& pack);

  // Of the arena, what is alive when so many partitions have run, or a little more: rising, apart from each other. Nothing
  // when none has; the pack's outputs when all have.
  Span<const ArenaRange> After(int partitions_done) const {
    const uint32_t first = first_[static_cast<uint64_t>(partitions_done)];
    return {ranges_.data() + first, first_[static_cast<uint64_t>(partitions_done) + 1] - first};
  }

 private:
  Array<ArenaRange> ranges_;
  Array<uint32_t> first_;  // in ranges_, for 0 to all partitions, and one more
};

}  // namespace wherry

#endif  // WHERRY_RUNTIME_CROSSING_H_
