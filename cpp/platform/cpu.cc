#include "platform/cpu.h"

#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace wherry::platform {
namespace {

#if defined(__x86_64__) || defined(__i386__)

struct Features {
  bool avx2 = false;
  bool avx512 = false;
};

constexpr bool Bit(uint32_t word, int bit) { return (word >> bit & 1U) != 0; }

// Intel SDM volume 2, CPUID leaves 1 and 7; volume 1, section 13.3 (XGETBV) for what the system saves.
Features Detect() {
  Features found;
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return found;
  const bool fma = Bit(c, 12), osxsave = Bit(c, 27), avx = Bit(c, 28), f16c = Bit(c, 29);
  if (!osxsave || !avx) return found;
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const bool saves_ymm = (low & 0x6U) == 0x6U, saves_zmm = (low & 0xE6U) == 0xE6U;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return found;
  found.avx2 = saves_ymm && fma && f16c && Bit(b, 3) && Bit(b, 5) && Bit(b, 8);
  found.avx512 = found.avx2 && saves_zmm && Bit(b, 16) && Bit(b, 17) && Bit(b, 28) && Bit(b, 30) && Bit(b, 31);
  return found;
}

#endif

}  // namespace

#if defined(__x86_64__) || defined(__i386__)
bool CpuHasAvx2() { return Detect().avx2; }
bool CpuHasAvx512() { return Detect().avx512; }
#else
bool CpuHasAvx2() { return false; }
bool CpuHasAvx512() { return false; }
#endif

}  // namespace wherry::platform
