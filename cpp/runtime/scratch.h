// Where the scratch memory of each step lies: in a part of the arena that holds no tensor then, or else from the end of
// the last tensor on, as far behind the arena as it takes. And where there is room for a step's weights beside it.
// The arena is as large as the worst moment of a run needs; at all others there is room in it.
#ifndef WHERRY_RUNTIME_SCRATCH_H_
#define WHERRY_RUNTIME_SCRATCH_H_

#include <cstddef>
#include <cstdint>

#include "runtime/pack.h"
#include "runtime/span.h"

namespace wherry {

struct StepScratch {
  size_t bytes = 0;   // asked for, a multiple of 64
  size_t offset = 0;  // from the arena's start; a multiple of 64
  size_t room = 0;    // bytes of weights; behind `bytes`, or 0 where so much room is not to be had for nothing
};

// Sets all offsets, and rooms that are not to be had to 0. behind: bytes that must follow the arena, whose size is a multiple of 64. False when memory runs out.
[[nodiscard]] bool PlaceScratch(const Pack& pack, size_t arena_bytes, Span<StepScratch> steps, size_t* behind);

}  // namespace wherry

#endif  // WHERRY_RUNTIME_SCRATCH_H_
