// What the CPU can do.
#ifndef WHERRY_PLATFORM_CPU_H_
#define WHERRY_PLATFORM_CPU_H_

namespace wherry::platform {

// AVX2, FMA, BMI1, BMI2 and F16C, with the registers saved by the system.
bool CpuHasAvx2();
// AVX-512 F, BW, CD, DQ and VL on top of that.
bool CpuHasAvx512();

}  // namespace wherry::platform

#endif  // WHERRY_PLATFORM_CPU_H_
