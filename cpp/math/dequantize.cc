#include "math/dequantize.h"

#include "math/codes.h"
#include "math/half.h"

namespace wherry::math {

namespace {

// Calls run(first, last, channel) for stretches of [begin, end) that lie in one channel; where channels change with
// every element, it is one stretch up to the last channel and `channel` is that of its first element.
template <typename Run>
void ForChannels(const CodedElements& coded, int64_t begin, int64_t end, const Run& run) {
  const int64_t period = coded.inner == 1 ? coded.channels : coded.inner;
  for (int64_t i = begin; i < end;) {
    const int64_t stop = i - i % period + period;
    const int64_t last = stop < end ? stop : end;
    run(i, last, coded.inner == 1 ? i % period : i / period % coded.channels);
    i = last;
  }
}

// out[k] = offset + scale * codes[k] for elements [first, last), all of one channel or one channel each.
template <typename Code>
void Affine(const CodedElements& coded, const Code* codes, int64_t first, int64_t last, int64_t channel, float* out) {
  const int64_t n = last - first;
  if (coded.inner == 1) {
    const float* scale = coded.scale + channel;
    if (coded.offset == nullptr) {
      for (int64_t k = 0; k < n; ++k) out[k] = scale[k] * static_cast<float>(codes[k]);
      return;
    }
    const float* offset = coded.offset + channel;
    for (int64_t k = 0; k < n; ++k) out[k] = scale[k] * static_cast<float>(codes[k]) + offset[k];
    return;
  }
  const float scale = coded.scale[channel];
  const float offset = coded.offset == nullptr ? 0.0F : coded.offset[channel];
  for (int64_t k = 0; k < n; ++k) out[k] = scale * static_cast<float>(codes[k]) + offset;
}

template <typename Code>
void DequantizeWhole(const CodedElements& coded, int64_t begin, int64_t end, float* out) {
  const Code* codes = static_cast<const Code*>(coded.data);
  ForChannels(coded, begin, end, [&](int64_t first, int64_t last, int64_t channel) {
    Affine(coded, codes + first, first, last, channel, out + (first - begin));
  });
}

}  // namespace

void DequantizeFloat16(const CodedElements& coded, int64_t begin, int64_t end, float* out) {
  const uint16_t* halves = static_cast<const uint16_t*>(coded.data);
  for (int64_t i = begin; i < end; ++i) out[i - begin] = HalfToFloat(halves[i]);
}

void DequantizeInt8(const CodedElements& coded, int64_t begin, int64_t end, float* out) {
  DequantizeWhole<int8_t>(coded, begin, end, out);
}

void DequantizeMinMax(const CodedElements& coded, int64_t begin, int64_t end, float* out) {
  if (coded.bits == 8) return DequantizeWhole<uint8_t>(coded, begin, end, out);
  if (coded.bits == 16) return DequantizeWhole<uint16_t>(coded, begin, end, out);
  const uint8_t* bytes = static_cast<const uint8_t*>(coded.data);
  for (int64_t i = begin; i < end;) {
    const int64_t start = i - i % kCodeGroup;
    const int64_t stop = start + kCodeGroup < end ? start + kCodeGroup : end;
    uint16_t codes[kCodeGroup];
    UnpackCodes16(bytes + start / kCodeGroup * (2 * coded.bits), coded.bits, codes);
    ForChannels(coded, i, stop, [&](int64_t first, int64_t last, int64_t channel) {
      Affine(coded, codes + (first - start), first, last, channel, out + (first - begin));
    });
    i = stop;
  }
}

}  // namespace wherry::math
