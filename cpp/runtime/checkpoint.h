// Lets a run outlive its process: after each partition the bytes that later ones need are in a small file.
//
// The file is a header of 64 bytes, then those ranges of the arena that Crossing gives for partitions_done, one after
// another in rising order. All numbers are little-endian.
//
//   at  0  8 bytes  magic: 0x89, "WHRCKP", line feed
//   at  8  u32      version: 1
//   at 12  u32      partitions_done: 0 when a run has begun, `partitions` when it has ended
//   at 16  u64      pack_hash: of the pack's header, in which there is the hash of all else, of the library's version, and of
//                   the instruction set in use, which may change the last bits of sums
//   at 24  u64      inputs_hash: of all bytes of all inputs
//   at 32  u64      data_bytes: of all ranges
//   at 40  u64      data_hash: Chain64 from 0 over the ranges, each in pieces of 16 KiB
//   at 48  u64      reserved: 0
//   at 56  u64      header_hash: XXH64 of the 56 bytes before
//
// A file without this magic is refused, as somebody else's; one that is damaged, or of another pack, counts as none. Who reads a file never sees half of one: it is written
// beside (with ".part" added to its name) and put in place at once.
#ifndef WHERRY_RUNTIME_CHECKPOINT_H_
#define WHERRY_RUNTIME_CHECKPOINT_H_

#include <cstdint>

#include "math/isa.h"
#include "platform/file.h"
#include "runtime/crossing.h"
#include "runtime/pack.h"
#include "runtime/span.h"
#include "runtime/status.h"

namespace wherry {

class Checkpoint {
 public:
  static constexpr int kNone = -1;

  // From now on runs of this pack keep a checkpoint there. The path is copied. kInvalidArgument for a file that is none.
  Status Set(const char* path, const platform::File& file, const Pack& pack, Isa isa, ErrorSink& errors);
  void Unset() { on_ = false; }
  bool on() const { return on_; }

  // How many partitions the file says have run; kNone where there is none of this pack, and of these inputs unless that is
  // null. All of it is read and checked.
  int Find(const uint64_t* inputs_hash) const;

  // A run begins. *first: how many partitions it need not run, as the arena now holds what they left. A run that this
  // object saw complete is not taken up again: then, and where there is no checkpoint, a new one is begun.
  Status Begin(uint64_t inputs_hash, std::byte* arena, int* first, ErrorSink& errors);
  // So many partitions have run.
  Status Write(int partitions_done, const std::byte* arena, ErrorSink& errors);

 private:
  struct Header;

  int Read(const uint64_t* inputs_hash, std::byte* arena) const;
  int TryWrite(const Header& header, const std::byte* arena) const;

  Crossing crossing_;
  Array<char> path_, part_;
  uint64_t pack_hash_ = 0;
  uint64_t inputs_hash_ = 0;  // of the run in progress
  int partitions_ = 0;
  bool on_ = false;
  bool completed_ = false;  // the last run, as seen by this object
};

}  // namespace wherry

#endif  // WHERRY_RUNTIME_CHECKPOINT_H_
