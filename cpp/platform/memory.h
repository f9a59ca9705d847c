// How much memory there is, and how much of it a process may take.
#ifndef WHERRY_PLATFORM_MEMORY_H_
#define WHERRY_PLATFORM_MEMORY_H_

#include <cstdint>

namespace wherry::platform {

// Bytes; 0 where the system does not say.
uint64_t PhysicalMemory();

// Bytes that can be taken now without anything being killed or swapped: the least of what the system counts as
// available, what is left of a control group's limit (Linux), and of the process's own limit (iOS). On Android
// without what the system keeps free by killing.
uint64_t AvailableMemory();

}  // namespace wherry::platform

#endif  // WHERRY_PLATFORM_MEMORY_H_
