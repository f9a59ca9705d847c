// Elements of a quantized weight in row-major order, turned back into float32.
#ifndef WHERRY_MATH_DEQUANTIZE_H_
#define WHERRY_MATH_DEQUANTIZE_H_

#include <cstdint>

namespace wherry::math {

// Element i has channel (i / inner) % channels.
struct CodedElements {
  const void* data = nullptr;
  int64_t channels = 1;
  int64_t inner = 1;
  const float* scale = nullptr;   // int8 and minmax: one per channel
  const float* offset = nullptr;  // minmax
  int bits = 0;                   // minmax
};

// Elements [begin, end) to out[0 .. end - begin). Each element's value depends on it alone.
using DequantizeElements = void (*)(const CodedElements& coded, int64_t begin, int64_t end, float* out);

void DequantizeFloat16(const CodedElements& coded, int64_t begin, int64_t end, float* out);
void DequantizeInt8(const CodedElements& coded, int64_t begin, int64_t end, float* out);
void DequantizeMinMax(const CodedElements& coded, int64_t begin, int64_t end, float* out);

}  // namespace wherry::math

#endif  // WHERRY_MATH_DEQUANTIZE_H_
