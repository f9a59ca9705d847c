// Which instruction set the inner loops use: chosen once when a pack is opened, from what the CPU has.
#ifndef WHERRY_MATH_ISA_H_
#define WHERRY_MATH_ISA_H_

#include <cstdint>

namespace wherry {

// In rising order. kPortable is plain C++ (or the baseline of the target's ABI: SSE2, NEON on 64-bit ARM).
enum class Isa : uint8_t { kPortable = 0, kAvx2 = 1, kAvx512 = 2 };

// The best that this CPU has and that was compiled in.
Isa BestIsa();

}  // namespace wherry

#endif  // WHERRY_MATH_ISA_H_
