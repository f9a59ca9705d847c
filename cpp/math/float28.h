// The float32 weights of a recurrent product in 28 bits each, without loss: what a step of one row waits for is its weights.
//
// A weight's exponent has one value of its upper four bits nearly everywhere: 7, for magnitudes from 2^-15 to 2. Of eight rows
// of a panel, [8][16], the first seven stay where they are; in the place of those four bits, the same in all of them, they hold
// the eighth, four of its other 28 bits in each. A group in which another value occurs lies as it is. Either way the product
// multiplies by the very weights, in the order of all other products, so its bits are those of float32 panels.
#ifndef WHERRY_MATH_FLOAT28_H_
#define WHERRY_MATH_FLOAT28_H_

#include <cstddef>
#include <cstdint>

#include "math/isa.h"

namespace wherry::math {

inline constexpr int kFloat28Gates = 4;
inline constexpr int64_t kFloat28Rows = 8;       // of a group
inline constexpr int64_t kFloat28PanelUnits = 16;

// Weights [units, 4 gates * units], units a multiple of 16. Borrowed.
struct Float28Matrix {
  int64_t units = 0;
  uint32_t exponent = 0;           // the upper four bits of each exponent, where a float has them (bits 27 to 30)
  const uint8_t* plain = nullptr;  // [units / 16][units / 8]: bit g, a group of gate g's panel is not coded
  const std::byte* groups = nullptr;  // [units / 16][gates][units / 8], each group 7 vectors of 64 bytes, or 8
  const int64_t* starts = nullptr;    // [units / 16][gates]: bytes from `groups` to a panel's first group

  int64_t panels() const { return units / kFloat28PanelUnits; }
  int64_t panel_groups() const { return units / kFloat28Rows; }
};

// Where each panel starts, [panels][gates], of matrices whose `starts` is not known; null to have them added up only. Returns
// the bytes of all groups.
int64_t FindFloat28Panels(const Float28Matrix& weights, int64_t* starts);

// sums [gates][16] += h [units] x the panel `panel` of each gate, each sum in the order of a product's.
void AddFloat28Row(const float* h, const Float28Matrix& weights, int64_t panel, float* sums, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_FLOAT28_H_
