// exp, log, erf and what is made of them over runs of floats, compiled for each instruction set; errors in vmath-inl.h.
#ifndef WHERRY_MATH_VMATH_H_
#define WHERRY_MATH_VMATH_H_

#include <cstdint>

#include "math/isa.h"

namespace wherry::math {

// out[i] = f(in[i]) for i in [0, count). Works in place. Each element's result depends on it alone.
using FloatFunction = void (*)(const float* in, float* out, int64_t count);

FloatFunction ExpOfFloats(Isa isa);
FloatFunction Expm1OfFloats(Isa isa);
FloatFunction LogOfFloats(Isa isa);
FloatFunction Log1pOfFloats(Isa isa);
FloatFunction SoftplusOfFloats(Isa isa);
FloatFunction SeluOfFloats(Isa isa);
FloatFunction ErfOfFloats(Isa isa);
FloatFunction ErfcOfFloats(Isa isa);

// out[i] = exp(in[i] - shift).
void ExpOfShifted(const float* in, float shift, float* out, int64_t count, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_VMATH_H_
