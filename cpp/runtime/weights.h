// The weights of a pack: segments mapped while they are needed, and checked the first time they are read.
#ifndef WHERRY_RUNTIME_WEIGHTS_H_
#define WHERRY_RUNTIME_WEIGHTS_H_

#include "platform/file.h"
#include "runtime/pack.h"
#include "runtime/span.h"
#include "runtime/status.h"

namespace wherry {

class Weights {
 public:
  Weights() = default;
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;
  ~Weights() { UnmapAll(); }

  // Maps the resident segments. `file` and `pack` must outlive this object.
  Status Open(const platform::File& file, const Pack& pack, ErrorSink& errors);
  // Bytes that streamed weights may occupy at a time. Fewer than all: a partition's weights go when it ends.
  void SetLimit(uint64_t bytes) { keep_all_ = bytes >= streamed_bytes_; }

  // Maps what a partition needs, checks what was never checked, and asks for the next partition's pages.
  Status Acquire(int partition, ErrorSink& errors);
  void Release(int partition);

  // Null while the segment is not mapped.
  const std::byte* segment(uint32_t i) const { return mappings_[i].data; }
  uint64_t mapped_bytes() const { return mapped_bytes_; }
  uint64_t resident_bytes() const { return resident_bytes_; }
  uint64_t streamed_bytes() const { return streamed_bytes_; }
  uint64_t largest_partition_bytes() const { return largest_partition_bytes_; }
  bool keeps_all() const { return keep_all_; }

 private:
  Status Map(uint32_t segment, ErrorSink& errors);
  void Unmap(uint32_t segment);
  void UnmapAll();

  const platform::File* file_ = nullptr;
  const Pack* pack_ = nullptr;
  Array<platform::Mapping> mappings_;
  Array<bool> checked_;
  uint64_t mapped_bytes_ = 0;
  uint64_t resident_bytes_ = 0;
  uint64_t streamed_bytes_ = 0;
  uint64_t largest_partition_bytes_ = 0;
  bool keep_all_ = true;
};

}  // namespace wherry

#endif  // WHERRY_RUNTIME_WEIGHTS_H_
