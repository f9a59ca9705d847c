#include "platform/pages.h"

#include <cerrno>
#include <cstdint>

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

namespace wherry::platform {

size_t PageBytes() {
  const long bytes = sysconf(_SC_PAGESIZE);
  return bytes > 0 ? static_cast<size_t>(bytes) : 4096;
}

void* AllocatePages(size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? nullptr : pages;
}

void FreePages(void* pages, size_t bytes) {
  if (pages != nullptr) munmap(pages, bytes);
}

void UseHugePages(const void* begin, size_t bytes, bool use) {
#if defined(MADV_HUGEPAGE) && defined(MADV_NOHUGEPAGE)
  static_cast<void>(madvise(const_cast<void*>(begin), bytes, use ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
#else
  static_cast<void>(begin);
  static_cast<void>(bytes);
  static_cast<void>(use);
#endif
}

void HidePages(const void* begin, size_t bytes, bool hide) {
  static_cast<void>(mprotect(const_cast<void*>(begin), bytes, hide ? PROT_NONE : PROT_READ));
}

int Populate(const void* begin, size_t bytes) {
#if defined(__linux__)
  constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ, Linux 5.14; many headers do not have it
  for (;;) {
    if (madvise(const_cast<void*>(begin), bytes, kPopulateRead) == 0) return 0;
    if (errno == EINTR || errno == EAGAIN) continue;
    if (errno == EFAULT) return EIO;  // the file became shorter, or cannot be read
    if (errno != EINVAL) return errno;
    break;
  }
#endif
  static_cast<void>(madvise(const_cast<void*>(begin), bytes, MADV_WILLNEED));
  const volatile char* const at = static_cast<const char*>(begin);
  const size_t page = PageBytes();
  for (size_t i = 0; i < bytes; i += page) static_cast<void>(at[i]);
  return 0;
}

uint64_t PageReads() {
#if defined(__linux__)
  constexpr int kThread = 1;  // RUSAGE_THREAD, of headers with GNU extensions
#else
  constexpr int kThread = RUSAGE_SELF;
#endif
  rusage usage = {};
  return getrusage(kThread, &usage) == 0 ? static_cast<uint64_t>(usage.ru_majflt) : 0;
}

void Discard(const void* begin, size_t bytes) {
#if defined(__APPLE__)
  // MADV_DONTNEED is a hint there, and pages that are free to take still count towards the process.
  static_cast<void>(msync(const_cast<void*>(begin), bytes, MS_DEACTIVATE));
  static_cast<void>(madvise(const_cast<void*>(begin), bytes, MADV_FREE));
#else
  static_cast<void>(madvise(const_cast<void*>(begin), bytes, MADV_DONTNEED));
#endif
}

}  // namespace wherry::platform
