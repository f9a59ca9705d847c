// float32 values to codes of 8 or 16 bits while a model runs: value = scale * (code - zero), over the range that the
// values have. Codes of 16 bits are two planes of bytes, the high ones and the low ones.
#ifndef WHERRY_MATH_QUANTIZE_H_
#define WHERRY_MATH_QUANTIZE_H_

#include <cstdint>

#include "math/isa.h"

namespace wherry::math {

// How codes are read. 0 always has a code of its own: zero, in 0 .. 255, or 0 .. 65535 where codes have two planes.
struct CodeScale {
  float scale = 1.0F;
  int32_t zero = 0;
};

// Smallest and largest value, and 0.
struct ValueRange {
  float low = 0.0F;
  float high = 0.0F;
};

// Values that are not finite have no codes: a NaN may be read as any value of the range, and next to an infinity all
// products become NaN.
ValueRange RangeOf(const float* values, int64_t count, Isa isa);

// Codes for a range that contains 0: low becomes 0 and high becomes 255 (65535), to the nearest step.
CodeScale ScaleOf(ValueRange range, int planes = 1);

// codes[i] = clamp(round(values[i] / scale) + zero, 0, 255), halves to even. The same bits on all instruction sets.
void QuantizeRun(const float* values, int64_t count, CodeScale scale, uint8_t* codes, Isa isa);

// The same in two planes, clamped to 65535: high[i] * 256 + low[i].
void QuantizeWideRun(const float* values, int64_t count, CodeScale scale, uint8_t* high, uint8_t* low, Isa isa);

// Pixels of `channels` values without gaps; the planes of a pixel one after the other: codes [pixels][planes][channels].
void QuantizePixels(const float* values, int64_t pixels, int64_t channels, CodeScale scale, int planes, uint8_t* codes, Isa isa);

// Each row in its own range: codes[r][0 .. leading) = 0, then k codes, then zeros up to code_stride; scales[r]. Two planes
// of row r are the rows 2 r and 2 r + 1 of codes.
void QuantizeRows(const float* values, int64_t stride, int64_t rows, int64_t k, int64_t leading, int planes,
                  uint8_t* codes, int64_t code_stride, CodeScale* scales, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_QUANTIZE_H_
