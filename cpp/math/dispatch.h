// Chooses among the copies of a function that foreach_target compiled: one for each instruction set.
//
// A file of math/ includes hwy/foreach_target.h and defines its functions in namespace wherry::math::HWY_NAMESPACE,
// so they end up in N_AVX3, N_AVX2 and the namespace of the ABI's baseline (N_SSE2, N_NEON_WITHOUT_AES, ...). Highway's
// own dispatch would link its library and keep a global table; here the caller's Isa decides.
#ifndef WHERRY_MATH_DISPATCH_H_
#define WHERRY_MATH_DISPATCH_H_

#include "math/isa.h"

#if defined(WHERRY_ISA_AVX512) && (defined(__x86_64__) || defined(__i386__))
#define WHERRY_IF_AVX512(isa, F) (isa) >= ::wherry::Isa::kAvx512 ? &N_AVX3::F :
#else
#define WHERRY_IF_AVX512(isa, F)
#endif
#if defined(WHERRY_ISA_AVX2) && (defined(__x86_64__) || defined(__i386__))
#define WHERRY_IF_AVX2(isa, F) (isa) >= ::wherry::Isa::kAvx2 ? &N_AVX2::F :
#else
#define WHERRY_IF_AVX2(isa, F)
#endif

// The address of F for this Isa, or the best below it that was compiled in. Use in namespace wherry::math, in the part
// of a file that is compiled once (#if HWY_ONCE). No comma expression: gcc finds no type for a template's address behind one.
#define WHERRY_SELECT(isa, F)                                      \
  ((isa) == ::wherry::Isa::kPortable ? &HWY_NAMESPACE::F           \
                                     : WHERRY_IF_AVX512(isa, F) WHERRY_IF_AVX2(isa, F) &HWY_NAMESPACE::F)

#endif  // WHERRY_MATH_DISPATCH_H_
