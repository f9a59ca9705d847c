// What the CPU can do, and the system lets a process use.
#ifndef WHERRY_PLATFORM_CPU_H_
#define WHERRY_PLATFORM_CPU_H_

namespace wherry::platform {

struct CpuFeatures {
  bool avx2 = false;         // AVX2, FMA, BMI1, BMI2 and F16C, with the registers saved by the system
  bool avx512 = false;       // F, BW, CD, DQ and VL on top of that
  bool avx_vnni = false;     // VPDPBUSD on 256 bits
  bool avx512_vnni = false;  // on 512, on top of avx512
  bool avx512_fp16 = false;  // arithmetic of halves on top of that
  bool amx = false;          // tiles of bytes and of bfloat16; on top of avx512_fp16, as on every CPU so far; asking for them is a request to the system, once for the process
  bool dot_product = false;  // SDOT and UDOT of 64-bit ARM
  bool fp16 = false;         // arithmetic of halves on top of that
  bool i8mm = false;         // SMMLA, USMMLA and USDOT on top of that
};

CpuFeatures DetectCpu();

}  // namespace wherry::platform

#endif  // WHERRY_PLATFORM_CPU_H_
