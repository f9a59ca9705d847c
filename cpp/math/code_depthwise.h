// Depthwise convolution of an NHWC image of 8-bit codes: every channel has a filter of its own. Sums are whole and exact,
// so all instruction sets give the same bits.
#ifndef WHERRY_MATH_CODE_DEPTHWISE_H_
#define WHERRY_MATH_CODE_DEPTHWISE_H_

#include <cstddef>
#include <cstdint>

#include "math/isa.h"

namespace wherry::math {

// Filters lie in tap quads (Layout::kTapQuads in runtime/tensor.h): [ceil(channels / 64)][filter_w][ceil(filter_h / 4)]
// [4][4][4][4], where the last four are q, b, c and t: channel 64 * block + 16 * b + 4 * q + c, row 4 * quad + t. That is
// the order in which a vector of 16, 32 or 64 channels comes out when four rows of codes are interleaved, bytes first, then
// pairs of bytes, each in blocks of 16 bytes. Codes past the channels or rows are 0.
inline constexpr int64_t kTapChannels = 64;
inline constexpr int64_t kTapQuadBytes = 256;

// What channel c has at PlaceOfChannel(c), in arrays of ceil(channels / 64) * 64.
constexpr int64_t PlaceOfChannel(int64_t c) { return c / 64 * 64 + c % 16 / 4 * 16 + c % 64 / 16 * 4 + c % 4; }

// out[b, y, x, c] = clamp(round(start[c] + sum over ky, kx of
//     image[b, y * stride_h - top + ky * dilation_h, x * stride_w - left + kx * dilation_w, c] * filter[ky, kx, c])
//     * multiplier[c] + offset[c], lowest, highest); pixels outside of the image are `zero`.
struct CodeDepthwise {
  const uint8_t* image = nullptr;     // [batch, in_h, in_w, channels]
  const int8_t* filter = nullptr;     // in tap quads
  const int32_t* start = nullptr;     // these three by PlaceOfChannel
  const float* multiplier = nullptr;
  const float* offset = nullptr;
  uint8_t* out = nullptr;             // [batch, out_h, out_w, channels]
  int64_t in_h = 0;
  int64_t in_w = 0;
  int64_t channels = 0;
  int64_t out_h = 0;
  int64_t out_w = 0;
  int64_t filter_h = 1;
  int64_t filter_w = 1;
  int64_t stride_h = 1;
  int64_t stride_w = 1;
  int64_t dilation_h = 1;
  int64_t dilation_w = 1;
  int64_t top = 0;
  int64_t left = 0;
  uint8_t zero = 0;
  uint8_t lowest = 0;
  uint8_t highest = 255;
};

// Bytes of scratch memory, aligned to 64, for each thread that runs at the same time.
size_t CodeDepthwiseScratch(const CodeDepthwise& conv);

// Output rows [begin, end) of all batch * out_h.
void RunCodeDepthwise(const CodeDepthwise& conv, int64_t begin, int64_t end, std::byte* scratch, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_CODE_DEPTHWISE_H_
