// Windows of an NHWC image of 8-bit codes: their largest code, or their mean. The same bits on all instruction sets.
#ifndef WHERRY_MATH_CODE_POOL_H_
#define WHERRY_MATH_CODE_POOL_H_

#include <cstdint>

#include "math/isa.h"

namespace wherry::math {

// rows x columns pixels, the first at `pixels`, all of them inside of the image; not empty.
struct CodeWindow {
  const uint8_t* pixels = nullptr;
  int64_t rows = 1;
  int64_t columns = 1;
  int64_t row_step = 0;  // codes from one row to the next
  int64_t pixel_step = 0;  // codes from one pixel to the next
  int64_t channels = 0;
};

// out[c] = the largest of the window's codes of channel c.
void LargestCodes(const CodeWindow& window, uint8_t* out, Isa isa);

// out[c] = round(sum of the window's codes of channel c * factor + offset), halves to even, cut to 0 .. 255.
void MeanCodes(const CodeWindow& window, float factor, float offset, uint8_t* out, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_CODE_POOL_H_
