#include "platform/file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/pages.h"

namespace wherry::platform {
namespace {

// The same file again, for reads that leave the page cache alone; -1 where that cannot be had.
int OpenDirect(int descriptor) {
#if defined(__linux__)
  char path[32];
  std::snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
  return open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
#elif defined(F_NOCACHE)
  const int direct = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (direct >= 0 && fcntl(direct, F_NOCACHE, 1) != 0) {
    close(direct);
    return -1;
  }
  return direct;
#else
  static_cast<void>(descriptor);
  return -1;
#endif
}

// Reads so many bytes, of which those from `end` on need not be there. Returns 0 or errno.
int ReadAll(int descriptor, uint64_t position, void* to, size_t bytes, uint64_t end) {
  char* at = static_cast<char*>(to);
  while (bytes > 0 && position < end) {
    const ssize_t got = pread(descriptor, at, bytes, static_cast<off_t>(position));
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

}  // namespace

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
  if (!S_ISREG(info.st_mode)) return ESPIPE;
  const uint64_t file_bytes = info.st_size < 0 ? 0 : static_cast<uint64_t>(info.st_size);
  if (offset > file_bytes || bytes > file_bytes - offset) return EINVAL;
  descriptor_ = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (descriptor_ < 0) return errno;
  start_ = offset;
  bytes_ = bytes == 0 ? file_bytes - offset : bytes;
  owned_ = info.st_uid == geteuid();
  direct_ = OpenDirect(descriptor_);
  return 0;
}

void File::OpenMemory(const void* data, size_t bytes) {
  Close();
  memory_ = static_cast<const std::byte*>(data);
  bytes_ = bytes;
}

void File::Close() {
  if (descriptor_ >= 0) close(descriptor_);
  if (direct_ >= 0) close(direct_);
  descriptor_ = direct_ = -1;
  memory_ = nullptr;
  start_ = bytes_ = 0;
}

int File::Read(uint64_t offset, void* to, size_t bytes) const {
  if (memory_ != nullptr) {
    std::memcpy(to, memory_ + offset, bytes);
    return 0;
  }
  return ReadAll(descriptor_, start_ + offset, to, bytes, start_ + bytes_);
}

int File::ReadDirect(uint64_t offset, void* to, size_t bytes) const {
  const uint64_t position = start_ + offset;
  if (direct_ >= 0) {
    const int error = ReadAll(direct_, position, to, bytes, start_ + bytes_);
    if (error != EINVAL) return error;
  }
  const int error = ReadAll(descriptor_, position, to, bytes, start_ + bytes_);
#if defined(POSIX_FADV_DONTNEED)
  static_cast<void>(posix_fadvise(descriptor_, static_cast<off_t>(position), static_cast<off_t>(bytes), POSIX_FADV_DONTNEED));
#endif
  return error;
}

int File::ReadOnce(uint64_t offset, void* to, size_t bytes) const {
#if defined(__linux__)
  constexpr size_t kMost = size_t{256} << 10;
  Mapping mapping;
  if (direct_ < 0 || !owned_ || bytes == 0 || Map(offset, bytes, &mapping) != 0) return Read(offset, to, bytes);
  const bool cached = IsCached(mapping, 0, bytes);
  Unmap(&mapping);
  char* const pages = cached ? nullptr : static_cast<char*>(AllocatePages(kMost));
  if (pages == nullptr) return Read(offset, to, bytes);
  int error = 0;
  for (char* out = static_cast<char*>(to); bytes > 0 && error == 0;) {
    const uint64_t begin = DirectStart(offset);
    const size_t before = static_cast<size_t>(offset - begin);
    const size_t some = std::min(bytes, kMost - before);
    error = ReadDirect(begin, pages, (before + some + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment);
    if (error == 0) std::memcpy(out, pages + before, some);
    out += some;
    offset += some;
    bytes -= some;
  }
  FreePages(pages, kMost);
  return error;
#else
  return Read(offset, to, bytes);
#endif
}

void File::SetReadAhead(bool allowed) const {
#if defined(POSIX_FADV_RANDOM)
  if (descriptor_ >= 0) {
    static_cast<void>(posix_fadvise(descriptor_, 0, 0, allowed ? POSIX_FADV_NORMAL : POSIX_FADV_RANDOM));
  }
#else
  static_cast<void>(allowed);
#endif
}

// Linux tells only who owns a file, and says yes to everybody else.
bool File::IsCached(const Mapping& mapping, uint64_t offset, size_t bytes) const {
#if defined(__linux__)
  constexpr size_t kSamples = 3;
  if (!owned_ || mapping.base == nullptr) return false;
  const auto page = static_cast<uintptr_t>(PageBytes());
  for (size_t i = 0; i < kSamples && bytes > 0; ++i) {
    const auto at = reinterpret_cast<uintptr_t>(mapping.data + offset + (bytes - 1) / (kSamples - 1) * i);
    unsigned char state = 0;
    if (mincore(reinterpret_cast<void*>(at - at % page), page, &state) != 0 || (state & 1U) == 0) return false;
  }
  return true;
#else
  static_cast<void>(mapping);
  static_cast<void>(offset);
  static_cast<void>(bytes);
  return false;
#endif
}

// Linux reads 2 MiB at a time for a mapping that asks for huge pages, however small it is; and one page of each is all
// that the process then has.
void File::ReadInHugePages(uint64_t offset, size_t bytes) const {
#if defined(__linux__)
  if (memory_ != nullptr) return;
  for (uint64_t at = offset; at < offset + bytes; at += kHugePageBytes - (start_ + at) % kHugePageBytes) {
    Mapping page;
    if (Map(at, 1, &page) != 0) return;
    UseHugePages(page.base, PageBytes(), true);
    static_cast<void>(Populate(page.base, PageBytes()));
    Unmap(&page);
  }
#else
  static_cast<void>(offset);
  static_cast<void>(bytes);
#endif
}

int File::Map(uint64_t offset, size_t bytes, Mapping* mapping, size_t alignment) const {
  *mapping = Mapping();
  mapping->bytes = bytes;
  if (memory_ != nullptr) {
    mapping->data = memory_ + offset;
    return 0;
  }
  if (bytes == 0) return 0;
  const size_t page = PageBytes();
  const size_t unit = std::max(alignment, page);
  const uint64_t position = start_ + offset;
  const size_t before = static_cast<size_t>(position % unit);
  const size_t all = before + bytes;
  char* place = nullptr;
  if (unit > page) {
    const size_t reserved = (all + page - 1) / page * page + unit;
    void* const found = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (found == MAP_FAILED) return errno;
    char* const begin = static_cast<char*>(found);
    place = begin + (unit - reinterpret_cast<uintptr_t>(begin) % unit) % unit;
    char* const end = place + (reserved - unit);
    if (place > begin) munmap(begin, static_cast<size_t>(place - begin));
    if (begin + reserved > end) munmap(end, static_cast<size_t>(begin + reserved - end));
  }
  void* base = mmap(place, all, PROT_READ, MAP_PRIVATE | (place != nullptr ? MAP_FIXED : 0), descriptor_,
                    static_cast<off_t>(position - before));
  if (base == MAP_FAILED) {
    const int error = errno;
    if (place != nullptr) munmap(place, all);
    return error;
  }
  mapping->base = base;
  mapping->base_bytes = all;
  mapping->data = static_cast<const std::byte*>(base) + before;
  return 0;
}

void File::Unmap(Mapping* mapping) {
  if (mapping->base != nullptr) munmap(mapping->base, mapping->base_bytes);
  *mapping = Mapping();
}

double Now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace wherry::platform
