#include "platform/memory.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <TargetConditionals.h>
#include <sys/sysctl.h>
#if TARGET_OS_IPHONE
#include <os/proc.h>
#endif
#endif

namespace wherry::platform {
namespace {

#if defined(__linux__)

// Reads a small file whole; text is ended by NUL. False when it cannot be read.
bool ReadText(const char* path, char* text, size_t size) {
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const ssize_t got = read(descriptor, text, size - 1);
  close(descriptor);
  text[got > 0 ? got : 0] = '\0';
  return got > 0;
}

#if defined(__ANDROID__)
// What must stay available for Android not to kill what runs in the background: AOSP's ProcessList.updateOomLevels has 147,456
// kB, and half as much again on 64-bit devices. Apps cannot read what a device has set, but from Java (MemoryInfo.threshold).
constexpr uint64_t kKillThreshold = uint64_t{147456} * 1024 * 3 / 2;
#else
constexpr uint64_t kKillThreshold = 0;
#endif

constexpr uint64_t kNoLimit = ~uint64_t{0};

// The number in a file of a control group; kNoLimit where there is none, or "max".
uint64_t ReadNumber(const char* folder, const char* name) {
  char path[640];
  char text[64];
  if (std::snprintf(path, sizeof(path), "%s/%s", folder, name) >= static_cast<int>(sizeof(path))) return kNoLimit;
  if (!ReadText(path, text, sizeof(text)) || text[0] < '0' || text[0] > '9') return kNoLimit;
  return std::strtoull(text, nullptr, 10);
}

// What is left below the limits of a group and of those that it is in. Pages of files that nobody uses are left, too.
uint64_t LeftInGroups(const char* root, char* group, const char* limit_name, const char* used_name, const char* cache_name) {
  uint64_t left = kNoLimit;
  for (;;) {
    char folder[600];
    std::snprintf(folder, sizeof(folder), "%s%s", root, group);
    const uint64_t limit = ReadNumber(folder, limit_name);
    const uint64_t used = ReadNumber(folder, used_name);
    if (limit < kNoLimit / 2 && used != kNoLimit) {
      char path[640];
      char text[4096];
      std::snprintf(path, sizeof(path), "%s/memory.stat", folder);
      uint64_t cache = 0;
      if (ReadText(path, text, sizeof(text))) {
        const char* const line = std::strstr(text, cache_name);
        if (line != nullptr) cache = std::strtoull(line + std::strlen(cache_name), nullptr, 10);
      }
      left = std::min(left, limit > used - std::min(used, cache) ? limit - (used - std::min(used, cache)) : 0);
    }
    char* const slash = std::strrchr(group, '/');
    if (slash == nullptr || group[0] == '\0') return left;
    *slash = '\0';
  }
}

// Of the memory controller, version 2 or 1. kNoLimit where there is none.
uint64_t LeftInControlGroup() {
  char text[2048];
  if (!ReadText("/proc/self/cgroup", text, sizeof(text))) return kNoLimit;
  uint64_t left = kNoLimit;
  for (char* line = text; line != nullptr && *line != '\0';) {
    char* const end = std::strchr(line, '\n');
    if (end != nullptr) *end = '\0';
    char group[512];
    if (std::strncmp(line, "0::", 3) == 0) {
      std::snprintf(group, sizeof(group), "%s", line + 3);
      left = std::min(left, LeftInGroups("/sys/fs/cgroup", group, "memory.max", "memory.current", "\ninactive_file "));
    } else if (char* const name = std::strstr(line, ":memory:"); name != nullptr) {
      std::snprintf(group, sizeof(group), "%s", name + 8);
      left = std::min(left, LeftInGroups("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes", "memory.usage_in_bytes",
                                         "\ntotal_inactive_file "));
    }
    line = end == nullptr ? nullptr : end + 1;
  }
  return left;
}

#endif

}  // namespace

uint64_t PhysicalMemory() {
#if defined(__APPLE__)
  uint64_t bytes = 0;
  size_t size = sizeof(bytes);
  return sysctlbyname("hw.memsize", &bytes, &size, nullptr, 0) == 0 ? bytes : 0;
#else
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page = sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(page) : 0;
#endif
}

uint64_t AvailableMemory() {
#if defined(__linux__)
  char text[4096];
  uint64_t available = 0;
  if (ReadText("/proc/meminfo", text, sizeof(text))) {
    const char* const line = std::strstr(text, "\nMemAvailable:");
    if (line != nullptr) available = std::strtoull(line + 14, nullptr, 10) * 1024;
    available -= std::min(available, kKillThreshold);
  }
  return std::min(available, LeftInControlGroup());
#elif defined(__APPLE__) && TARGET_OS_IPHONE
  return os_proc_available_memory();
#else
  return PhysicalMemory() / 2;
#endif
}

}  // namespace wherry::platform
