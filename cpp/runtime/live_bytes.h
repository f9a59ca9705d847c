// Which bytes of the arena hold something that is still needed, followed through the steps of a pack backwards.
//
// Before a step its inputs are alive, and its outputs are not. Bytes count, not tensors: views, tensors in place of others and
// parts of a tensor need nothing of their own. Only a tensor that several steps write by columns is followed as a whole,
// from the first of them on.
#ifndef WHERRY_RUNTIME_LIVE_BYTES_H_
#define WHERRY_RUNTIME_LIVE_BYTES_H_

#include <cstdint>

#include "runtime/pack.h"
#include "runtime/span.h"

namespace wherry {

struct ArenaRange {
  uint64_t begin, end;
};

class LiveBytes {
 public:
  // What is alive when all steps are done: the pack's outputs. False when memory is short.
  [[nodiscard]] bool Start(const Pack& pack);

  // From after a step to while it runs, and on to before it. Steps in falling order.
  void Enter(uint64_t step);
  void Leave(uint64_t step);

  // Rising, apart from each other. In too many pieces, what lies between some of them too.
  Span<const ArenaRange> ranges() const { return {ranges_, size_}; }

 private:
  static constexpr size_t kMost = 512;

  // The bytes of a tensor; of some columns, all of the tensor that they are of.
  ArenaRange RangeOf(uint32_t tensor) const;
  void Add(ArenaRange range);
  void Remove(ArenaRange range);
  void Replace(size_t first, size_t last, const ArenaRange* by, size_t count);

  const Pack* pack_ = nullptr;
  Array<uint32_t> first_writers_;  // for each tensor that is written by columns, the step that does so first
  ArenaRange ranges_[kMost];
  size_t size_ = 0;
};

}  // namespace wherry

#endif  // WHERRY_RUNTIME_LIVE_BYTES_H_
