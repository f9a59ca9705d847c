// Where a pack's bytes come from: a path, a descriptor with offset and length, or a block of memory.
#ifndef WHERRY_PLATFORM_FILE_H_
#define WHERRY_PLATFORM_FILE_H_

#include <cstddef>
#include <cstdint>

namespace wherry::platform {

// A readable range that is mapped, or lies in the caller's memory.
struct Mapping {
  const std::byte* data = nullptr;
  size_t bytes = 0;
  void* base = nullptr;  // what munmap takes; null for memory that is not ours
  size_t base_bytes = 0;
};

class File {
 public:
  File() = default;
  ~File() { Close(); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // Each returns 0, or errno.
  int OpenPath(const char* path);
  // The descriptor is duplicated; the caller keeps its own. bytes 0: up to the end of the file.
  int OpenDescriptor(int descriptor, uint64_t offset, uint64_t bytes);
  // The memory must outlive this object.
  void OpenMemory(const void* data, size_t bytes);
  void Close();

  uint64_t size() const { return bytes_; }
  // Reads exactly `bytes` at `offset`. The range must lie inside the file.
  int Read(uint64_t offset, void* to, size_t bytes) const;
  // Maps a range that lies inside the file. Pages are shared with the page cache and read on first touch.
  int Map(uint64_t offset, size_t bytes, Mapping* mapping) const;
  static void Unmap(Mapping* mapping);
  // Asks the system to read a range into its page cache, without waiting.
  void Prefetch(uint64_t offset, size_t bytes) const;

 private:
  int descriptor_ = -1;
  const std::byte* memory_ = nullptr;
  uint64_t start_ = 0;
  uint64_t bytes_ = 0;
};

// Zeroed memory straight from the system, given back in full by FreePages. Null when there is none.
void* AllocatePages(size_t bytes);
void FreePages(void* pages, size_t bytes);

// Seconds of a clock that never goes back.
double Now();

}  // namespace wherry::platform

#endif  // WHERRY_PLATFORM_FILE_H_
