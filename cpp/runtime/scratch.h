// Where the scratch memory of each step lies: in a part of the arena that holds no tensor then, or else from the end of
// the last tensor on, as far behind the arena as it takes. And where there is room for a step's weights beside it.
// The arena is as large as the worst moment of a run needs; at all others there is room in it.
//
// There are two ways to place them. Plainly, kernels get what makes them fast, within reason, and weights what is left over.
// Where memory is short, all weights are read to where the arena has room, which may end behind the arena, and kernels whose
// scratch memory does not fit beside them get by with less.
#ifndef WHERRY_RUNTIME_SCRATCH_H_
#define WHERRY_RUNTIME_SCRATCH_H_

#include <cstddef>
#include <cstdint>

#include "runtime/kernel.h"
#include "runtime/pack.h"
#include "runtime/span.h"

namespace wherry {

struct StepScratch {
  size_t bytes = 0;   // asked for, a multiple of 64
  size_t offset = 0;  // from the arena's start; a multiple of 64
  size_t room = 0;    // bytes of weights; behind `bytes`, or 0 where so much room is not to be had for nothing
  uint64_t limit = kNoScratchLimit;  // that the kernel was told
};

// How much scratch memory a step's kernel takes under a limit.
struct ScratchSizes {
  size_t (*bytes)(void* user, size_t step, uint64_t limit);
  void* user;
  size_t operator()(size_t step, uint64_t limit) const { return bytes(user, step, limit); }
};

// Places are found in the arena, whose size is a multiple of 64, and behind it. `room` of each step has the bytes of its weights,
// and `bytes` those of its scratch memory without a limit. Each returns false when memory runs out.

// Sets all offsets, and rooms that are not to be had to 0; and bytes and limits of kernels that would take more than
// `spare` behind the arena and can get by with less. end: of the arena and what must follow it.
[[nodiscard]] bool PlaceScratch(const Pack& pack, size_t arena_bytes, size_t spare, Span<StepScratch> steps,
                                const ScratchSizes& sizes, size_t* end);

// The least end behind which no step needs anything, with the least scratch memory.
[[nodiscard]] bool FindLeastEnd(const Pack& pack, size_t arena_bytes, Span<const StepScratch> steps, const ScratchSizes& sizes,
                                size_t* end);

// Sets all offsets, and bytes and limits where a kernel has to get by with less. end: at least the least.
[[nodiscard]] bool PlaceThriftily(const Pack& pack, size_t end, Span<StepScratch> steps, const ScratchSizes& sizes);

}  // namespace wherry

#endif  // WHERRY_RUNTIME_SCRATCH_H_
