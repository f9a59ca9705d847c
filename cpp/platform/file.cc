#include "platform/file.h"

#include <cerrno>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace wherry::platform {

int File::OpenPath(const char* path) {
  Close();
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return errno;
  const int error = OpenDescriptor(descriptor, 0, 0);
  close(descriptor);
  return error;
}

int File::OpenDescriptor(int descriptor, uint64_t offset, uint64_t bytes) {
  Close();
  struct stat info;
  if (fstat(descriptor, &info) != 0) return errno;
  if (S_ISDIR(info.st_mode)) return EISDIR;
  const uint64_t file_bytes = info.st_size < 0 ? 0 : static_cast<uint64_t>(info.st_size);
  if (offset > file_bytes || bytes > file_bytes - offset) return EINVAL;
  descriptor_ = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (descriptor_ < 0) return errno;
  start_ = offset;
  bytes_ = bytes == 0 ? file_bytes - offset : bytes;
  return 0;
}

void File::OpenMemory(const void* data, size_t bytes) {
  Close();
  memory_ = static_cast<const std::byte*>(data);
  bytes_ = bytes;
}

void File::Close() {
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = -1;
  memory_ = nullptr;
  start_ = bytes_ = 0;
}

int File::Read(uint64_t offset, void* to, size_t bytes) const {
  if (memory_ != nullptr) {
    std::memcpy(to, memory_ + offset, bytes);
    return 0;
  }
  char* at = static_cast<char*>(to);
  uint64_t position = start_ + offset;
  while (bytes > 0) {
    const ssize_t got = pread(descriptor_, at, bytes, static_cast<off_t>(position));
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    if (got == 0) return EIO;  // the file became shorter since it was opened
    at += got;
    position += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
  return 0;
}

int File::Map(uint64_t offset, size_t bytes, Mapping* mapping) const {
  *mapping = Mapping();
  mapping->bytes = bytes;
  if (memory_ != nullptr) {
    mapping->data = memory_ + offset;
    return 0;
  }
  if (bytes == 0) return 0;
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t position = start_ + offset;
  const uint64_t before = position % page;
  void* base = mmap(nullptr, static_cast<size_t>(before) + bytes, PROT_READ, MAP_PRIVATE, descriptor_,
                    static_cast<off_t>(position - before));
  if (base == MAP_FAILED) return errno;
  mapping->base = base;
  mapping->base_bytes = static_cast<size_t>(before) + bytes;
  mapping->data = static_cast<const std::byte*>(base) + before;
  return 0;
}

void File::Unmap(Mapping* mapping) {
  if (mapping->base != nullptr) munmap(mapping->base, mapping->base_bytes);
  *mapping = Mapping();
}

void File::Prefetch(uint64_t offset, size_t bytes) const {
#if defined(POSIX_FADV_WILLNEED)
  if (descriptor_ >= 0) {
    static_cast<void>(posix_fadvise(descriptor_, static_cast<off_t>(start_ + offset), static_cast<off_t>(bytes),
                                    POSIX_FADV_WILLNEED));
  }
#else
  static_cast<void>(offset);
  static_cast<void>(bytes);
#endif
}

void* AllocatePages(size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? nullptr : pages;
}

void FreePages(void* pages, size_t bytes) {
  if (pages != nullptr) munmap(pages, bytes);
}

double Now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace wherry::platform
