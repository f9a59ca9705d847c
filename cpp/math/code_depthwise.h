// Depthwise convolution of an NHWC image of 8-bit codes: every channel has a filter of its own. Sums are whole and exact,
// so all instruction sets give the same bits.
#ifndef WHERRY_MATH_CODE_DEPTHWISE_H_
#define WHERRY_MATH_CODE_DEPTHWISE_H_

#include <cstddef>
#include <cstdint>

#include "math/isa.h"
#include "math/window.h"

namespace wherry::math {

// Filters lie in tap quads (Layout::kTapQuads in runtime/tensor.h): [ceil(channels / 64)][w.filter][ceil(h.filter / 4)]
// [4][4][4][4], where the last four are q, b, c and t: channel 64 * block + 16 * b + 4 * q + c, row 4 * quad + t. That is
// the order in which a vector of 16, 32 or 64 channels comes out when four rows of codes are interleaved, bytes first, then
// pairs of bytes, each in blocks of 16 bytes. Codes past the channels or rows are 0.
inline constexpr int64_t kTapChannels = 64;
inline constexpr int64_t kTapQuadBytes = 256;

// What channel c has at PlaceOfChannel(c), in arrays of ceil(channels / 64) * 64.
constexpr int64_t PlaceOfChannel(int64_t c) { return c / 64 * 64 + c % 16 / 4 * 16 + c % 64 / 16 * 4 + c % 4; }

// out[b, y, x, c] = clamp(round(start[c] + sum over ky, kx of
//     image[b, y * h.stride - h.before + ky * h.dilation, x * w.stride - w.before + kx * w.dilation,
//     c] * filter[ky, kx, c])
//     * multiplier[c] + offset[c], lowest, highest); pixels outside of the image are `zero`.
struct CodeDepthwise {
  const uint8_t* image = nullptr;     // [batch, h.in, w.in, channels]
  const int8_t* filter = nullptr;     // in tap quads
  const int32_t* start = nullptr;     // these three by PlaceOfChannel
  const float* multiplier = nullptr;
  const float* offset = nullptr;
  uint8_t* out = nullptr;             // [batch, h.out, w.out, channels]
  int64_t channels = 0;
  Window window;
  uint8_t zero = 0;
  uint8_t lowest = 0;
  uint8_t highest = 255;
};

// Bytes of scratch memory, aligned to 64, for each thread that runs at the same time.
size_t CodeDepthwiseScratch(const CodeDepthwise& conv);

// Output rows [begin, end) of all batch * h.out.
void RunCodeDepthwise(const CodeDepthwise& conv, int64_t begin, int64_t end, std::byte* scratch, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_CODE_DEPTHWISE_H_
