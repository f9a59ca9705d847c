// Codes of 2 to 16 bits as packs store them: groups of 16, least significant bit first, 2 * bits bytes a group.
#ifndef WHERRY_MATH_CODES_H_
#define WHERRY_MATH_CODES_H_

#include <cstdint>

namespace wherry::math {

inline constexpr int64_t kCodeGroup = 16;

// Reads exactly 2 * bits bytes.
inline void UnpackCodes16(const uint8_t* bytes, int bits, uint16_t* out) {
  const uint32_t mask = (1U << static_cast<uint32_t>(bits)) - 1U;
  uint32_t window = 0;
  int filled = 0;
  for (int64_t i = 0; i < kCodeGroup; ++i) {
    for (; filled < bits; filled += 8) window |= static_cast<uint32_t>(*bytes++) << static_cast<uint32_t>(filled);
    out[i] = static_cast<uint16_t>(window & mask);
    window >>= static_cast<uint32_t>(bits);
    filled -= bits;
  }
}

// Bytes of `count` codes in row-major layout: 8 and 16 bits take whole bytes, others whole groups.
inline int64_t CodeBytes(int64_t count, int bits) {
  if (bits == 8 || bits == 16) return count * (bits / 8);
  return (count + kCodeGroup - 1) / kCodeGroup * (2 * bits);
}

}  // namespace wherry::math

#endif  // WHERRY_MATH_CODES_H_
