#include "math/isa.h"

#include "platform/cpu.h"

namespace wherry {

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kPortable: return "portable";
    case Isa::kAvx2: return "AVX2";
    case Isa::kAvxVnni: return "AVX-VNNI";
    case Isa::kAvx512: return "AVX-512";
    case Isa::kAvx512Vnni: return "AVX-512 VNNI";
    case Isa::kAvx512Fp16: return "AVX-512 FP16";
    case Isa::kAmx: return "AMX";
    case Isa::kDotProduct: return "dot product";
    case Isa::kFp16: return "FP16";
    case Isa::kI8mm: return "I8MM";
  }
  return "unknown";
}

bool HasIsa(Isa isa) {
  [[maybe_unused]] const platform::CpuFeatures cpu = platform::DetectCpu();
  switch (isa) {
    case Isa::kPortable:
      return true;
#if defined(WHERRY_ISA_AVX2)
    case Isa::kAvx2:
      return cpu.avx2;
#endif
#if defined(WHERRY_ISA_AVXVNNI)
    case Isa::kAvxVnni:
      return cpu.avx_vnni;
#endif
#if defined(WHERRY_ISA_AVX512)
    case Isa::kAvx512:
      return cpu.avx512;
#endif
#if defined(WHERRY_ISA_AVX512VNNI)
    case Isa::kAvx512Vnni:
      return cpu.avx512_vnni;
#endif
#if defined(WHERRY_ISA_AVX512FP16)
    case Isa::kAvx512Fp16:
      return cpu.avx512_fp16;
#endif
#if defined(WHERRY_ISA_AMX)
    case Isa::kAmx:
      return cpu.amx;
#endif
#if defined(WHERRY_ISA_DOTPROD)
    case Isa::kDotProduct:
      return cpu.dot_product;
#endif
#if defined(WHERRY_ISA_FP16)
    case Isa::kFp16:
      return cpu.fp16;
#endif
#if defined(WHERRY_ISA_I8MM)
    case Isa::kI8mm:
      return cpu.i8mm;
#endif
    default:
      return false;
  }
}

Isa BestIsa() {
  for (int level = kIsas - 1; level > 0; --level) {
    if (HasIsa(static_cast<Isa>(level))) return static_cast<Isa>(level);
  }
  return Isa::kPortable;
}

}  // namespace wherry
