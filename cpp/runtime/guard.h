// In a build with AddressSanitizer, nothing but the tensors of a step may be touched while it runs: the rest of the
// arena and of the weights is poisoned. In any other build this is nothing.
#ifndef WHERRY_RUNTIME_GUARD_H_
#define WHERRY_RUNTIME_GUARD_H_

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define WHERRY_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WHERRY_ASAN 1
#endif
#endif

#if defined(WHERRY_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace wherry::guard {

#if defined(WHERRY_ASAN)
inline void Close(const void* data, size_t bytes) { ASAN_POISON_MEMORY_REGION(data, bytes); }
inline void Open(const void* data, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(data, bytes); }
inline constexpr bool kOn = true;
#else
inline void Close(const void*, size_t) {}
inline void Open(const void*, size_t) {}
inline constexpr bool kOn = false;
#endif

}  // namespace wherry::guard

#endif  // WHERRY_RUNTIME_GUARD_H_
