// Elementwise arithmetic on 8-bit codes. A code stands for scale * (code - zero); results are rounded once, halves to even,
// and cut to [lowest, highest]. The same bits on all instruction sets.
#ifndef WHERRY_MATH_CODE_ELEMENTWISE_H_
#define WHERRY_MATH_CODE_ELEMENTWISE_H_

#include <cstdint>

#include "math/isa.h"
#include "math/quantize.h"

namespace wherry::math {

struct CodeLimits {
  uint8_t lowest = 0;
  uint8_t highest = 255;
};

// A sum of two tensors of codes: round(a * factor_a + (b * factor_b + offset)), cut to the limits.
struct CodeSum {
  float factor_a = 0.0F;
  float factor_b = 0.0F;
  float offset = 0.0F;  // zero of the result, less what the zeros of a and b come to
  CodeLimits limits;
};

inline CodeSum SumOf(CodeScale a, CodeScale b, CodeScale out, CodeLimits limits) {
  CodeSum sum;
  sum.factor_a = a.scale / out.scale;
  sum.factor_b = b.scale / out.scale;
  const float zeros = static_cast<float>(a.zero) * sum.factor_a + static_cast<float>(b.zero) * sum.factor_b;
  sum.offset = static_cast<float>(out.zero) - zeros;
  sum.limits = limits;
  return sum;
}

// A product: round((a - zero_a) * ((b - zero_b) * factor) + zero_out).
struct CodeProduct {
  int32_t zero_a = 0;
  int32_t zero_b = 0;
  float factor = 0.0F;
  float zero_out = 0.0F;
};

inline CodeProduct ProductOf(CodeScale a, CodeScale b, CodeScale out) {
  return {a.zero, b.zero, a.scale * b.scale / out.scale, static_cast<float>(out.zero)};
}

// Both work in place.
void AddCodes(const uint8_t* a, const uint8_t* b, int64_t count, const CodeSum& sum, uint8_t* out, Isa isa);
void MultiplyCodes(const uint8_t* a, const uint8_t* b, int64_t count, const CodeProduct& product, uint8_t* out, Isa isa);

// out[i] = scale * (codes[i] - zero).
void ValuesOfCodes(const uint8_t* codes, int64_t count, CodeScale scale, float* out, Isa isa);

// out[i] = table[codes[i]]; a table has 256 entries. Works in place.
void LookUpCodes(const uint8_t* codes, int64_t count, const uint8_t* table, uint8_t* out, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_CODE_ELEMENTWISE_H_
