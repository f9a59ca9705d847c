#include "platform/cpu.h"

#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>

#include <cstddef>
#endif

namespace wherry::platform {
namespace {

#if defined(__x86_64__) || defined(__i386__)

constexpr bool Bit(uint32_t word, int bit) { return (word >> bit & 1U) != 0; }

// Linux gives a process the registers of AMX when it asks for them (Documentation/arch/x86/xstate.rst).
bool MayUseTiles() {
#if defined(__x86_64__) && defined(__linux__) && defined(SYS_arch_prctl)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

// Intel SDM volume 2, CPUID leaves 1 and 7; volume 1, section 13.3 (XGETBV) for what the system saves.
CpuFeatures Detect() {
  CpuFeatures found;
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return found;
  const bool fma = Bit(c, 12), osxsave = Bit(c, 27), avx = Bit(c, 28), f16c = Bit(c, 29);
  if (!osxsave || !avx) return found;
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const bool saves_ymm = (low & 0x6U) == 0x6U, saves_zmm = (low & 0xE6U) == 0xE6U;
  const bool saves_tiles = (low & 0x60000U) == 0x60000U;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return found;
  found.avx2 = saves_ymm && fma && f16c && Bit(b, 3) && Bit(b, 5) && Bit(b, 8);
  found.avx512 = found.avx2 && saves_zmm && Bit(b, 16) && Bit(b, 17) && Bit(b, 28) && Bit(b, 30) && Bit(b, 31);
  found.avx512_vnni = found.avx512 && Bit(c, 11);
  found.avx512_fp16 = found.avx512_vnni && Bit(d, 23);
  found.amx = found.avx512_fp16 && saves_tiles && Bit(d, 22) && Bit(d, 24) && Bit(d, 25) && MayUseTiles();
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) found.avx_vnni = found.avx2 && Bit(a, 4);
  return found;
}

#elif defined(__aarch64__) && defined(__linux__)

// Bits of the kernel's interface, Documentation/arch/arm64/elf_hwcaps.rst: older headers do not have the names.
CpuFeatures Detect() {
  constexpr unsigned long kScalarHalves = 1UL << 9, kHalves = 1UL << 10, kDotProduct = 1UL << 20, kI8mm = 1UL << 13;
  CpuFeatures found;
  const unsigned long has = getauxval(AT_HWCAP);
  found.dot_product = (has & kDotProduct) != 0;
  // On top of dot products: phones with Samsung's M3 cores beside A55 claim halves, which the M3 lacks, but not those.
  found.fp16 = found.dot_product && (has & kScalarHalves) != 0 && (has & kHalves) != 0;
  found.i8mm = found.fp16 && (getauxval(AT_HWCAP2) & kI8mm) != 0;
  return found;
}

#elif defined(__aarch64__) && defined(__APPLE__)

bool SystemSays(const char* name) {
  int value = 0;
  size_t bytes = sizeof(value);
  return sysctlbyname(name, &value, &bytes, nullptr, 0) == 0 && value != 0;
}

CpuFeatures Detect() {
  CpuFeatures found;
  found.dot_product = SystemSays("hw.optional.arm.FEAT_DotProd");
  found.fp16 = found.dot_product && SystemSays("hw.optional.arm.FEAT_FP16");
  found.i8mm = found.fp16 && SystemSays("hw.optional.arm.FEAT_I8MM");
  return found;
}

#else

CpuFeatures Detect() { return {}; }

#endif

}  // namespace

CpuFeatures DetectCpu() { return Detect(); }

}  // namespace wherry::platform
