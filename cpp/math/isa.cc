#include "math/isa.h"

#include "platform/cpu.h"

namespace wherry {

Isa BestIsa() {
#if WHERRY_ISA_AVX512
  if (platform::CpuHasAvx512()) return Isa::kAvx512;
#endif
#if WHERRY_ISA_AVX2
  if (platform::CpuHasAvx2()) return Isa::kAvx2;
#endif
  return Isa::kPortable;
}

}  // namespace wherry
