// Memory in whole pages: the process's own, and that of mapped files.
#ifndef WHERRY_PLATFORM_PAGES_H_
#define WHERRY_PLATFORM_PAGES_H_

#include <cstddef>
#include <cstdint>

namespace wherry::platform {

// What the system maps at a time: 4 KiB, or 16 KiB on some ARM systems.
size_t PageBytes();

// Zeroed memory straight from the system, given back in full by FreePages. Null when there is none. Pages count towards
// the process only once they are touched.
void* AllocatePages(size_t bytes);
void FreePages(void* pages, size_t bytes);

// The size of the pages that Populate and Discard should deal with where Linux may map 2 MiB at once.
inline constexpr size_t kHugePageBytes = size_t{2} << 20;

// Asks for huge pages in a range of memory or of a mapped file, or forbids them. A hint.
void UseHugePages(const void* begin, size_t bytes, bool use);

// Takes pages of a mapped file out of reach, so that they do not come along when others are mapped, or gives them back to
// it. A hint. begin and bytes are multiples of PageBytes().
void HidePages(const void* begin, size_t bytes, bool hide);

// Maps all pages of a range of a mapped file, reading those that are not in memory. Returns 0 or errno. begin and bytes
// are multiples of PageBytes().
int Populate(const void* begin, size_t bytes);

// How often this thread has waited for a page of a mapped file that was not in memory; where the system counts that for
// the whole process only, how often any thread has.
uint64_t PageReads();

// Gives the pages of a range back to the system: those of a mapped file stay in its cache, those of AllocatePages are
// zero when they are touched again. begin and bytes are multiples of PageBytes().
void Discard(const void* begin, size_t bytes);

}  // namespace wherry::platform

#endif  // WHERRY_PLATFORM_PAGES_H_
