// Windows of an NHWC image of 8-bit codes: their largest code, or their mean. The same bits on all instruction sets.
#ifndef WHERRY_MATH_CODE_POOL_H_
#define WHERRY_MATH_CODE_POOL_H_

#include <cstdint>

#include "math/isa.h"
#include "math/pool_window.h"

namespace wherry::math {

using CodeWindow = PoolWindow<uint8_t>;

// out[c] = the largest of the window's codes of channel c.
void LargestCodes(const CodeWindow& window, uint8_t* out, Isa isa);

// out[c] = round(sum of the window's codes of channel c * factor + offset), halves to even, cut to 0 .. 255.
void MeanCodes(const CodeWindow& window, float factor, float offset, uint8_t* out, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_CODE_POOL_H_
