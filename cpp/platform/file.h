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
  static constexpr uint64_t kDirectAlignment = 4096;

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
  // The block of memory that was opened; null for a file.
  const std::byte* memory() const { return memory_; }
  // Reads exactly `bytes` at `offset`. The range must lie inside the file.
  int Read(uint64_t offset, void* to, size_t bytes) const;
  // Reads a range without leaving it in the system's page cache: past it where the range begins and ends at multiples of
  // kDirectAlignment, counted from DirectStart(), and `to` is aligned likewise; then the end may lie behind the file's.
  // Others are read through it and dropped from it.
  int ReadDirect(uint64_t offset, void* to, size_t bytes) const;
  // Reads exactly `bytes` at `offset`, of which there is no more need: what the page cache does not have it does not get, so
  // that it can read the pages around them in large ones later. Waits for no more than this.
  int ReadOnce(uint64_t offset, void* to, size_t bytes) const;
  // Where in the range that ReadDirect takes for it a byte of the file lies.
  uint64_t DirectStart(uint64_t offset) const { return offset - (start_ + offset) % kDirectAlignment; }
  // Whether the system may read more into its page cache than was asked for. A hint.
  void SetReadAhead(bool allowed) const;
  // Whether a range is in the page cache, as far as a few samples tell. False where the system does not say. mapping: of
  // the whole file.
  bool IsCached(const Mapping& mapping, uint64_t offset, size_t bytes) const;
  // Has the page cache read a range in pages of kHugePageBytes, where the system has such pages for files: what is read
  // into it otherwise often lies in small ones, and stays there. A hint.
  void ReadInHugePages(uint64_t offset, size_t bytes) const;
  // Maps a range that lies inside the file. Pages are shared with the page cache and read on first touch. `base` is at
  // the multiple of `alignment` before the range, in the file and in memory; 0: of a page.
  int Map(uint64_t offset, size_t bytes, Mapping* mapping, size_t alignment = 0) const;
  static void Unmap(Mapping* mapping);

 private:
  int descriptor_ = -1;
  int direct_ = -1;  // reads past the page cache; -1 where the file system cannot
  bool owned_ = false;  // by this user
  const std::byte* memory_ = nullptr;
  uint64_t start_ = 0;
  uint64_t bytes_ = 0;
};

// Seconds of a clock that never goes back.
double Now();

}  // namespace wherry::platform

#endif  // WHERRY_PLATFORM_FILE_H_
