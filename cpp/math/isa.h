// Which instruction set the inner loops use: chosen once when a pack is opened, from what the CPU has.
#ifndef WHERRY_MATH_ISA_H_
#define WHERRY_MATH_ISA_H_

#include <cstdint>

namespace wherry {

// In rising order: a CPU of one level runs what is compiled for those below, but that kAvxVnni is beside kAvx512.
enum class Isa : uint8_t {
  kPortable = 0,    // the baseline of the target's ABI: SSE2, NEON on 64-bit ARM
  kAvx2 = 1,        // with FMA and F16C
  kAvxVnni = 2,     // products of 8-bit codes in one instruction, 256 bits
  kAvx512 = 3,      // F, DQ, BW, CD, VL
  kAvx512Vnni = 4,  // products of 8-bit codes in one instruction, 512 bits
  kAvx512Fp16 = 5,  // multiply-adds of halves, 512 bits
  kAmx = 6,         // tiles of 8-bit codes and of bfloat16
  kDotProduct = 7,  // 64-bit ARM from here on: products of 8-bit codes in one instruction
  kFp16 = 8,        // multiply-adds of halves
  kI8mm = 9,        // two rows by two columns of 8-bit codes in one instruction
};

// The most levels that there are; a number from 0 on that names none of them is no level.
inline constexpr int kIsas = 10;

// "AVX-512 VNNI"; for people.
const char* IsaName(Isa isa);

// Whether this CPU runs the level and it was compiled in.
bool HasIsa(Isa isa);

// The best that this CPU has and that was compiled in.
Isa BestIsa();

}  // namespace wherry

#endif  // WHERRY_MATH_ISA_H_
