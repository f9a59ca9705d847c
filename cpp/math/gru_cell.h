// The arithmetic of a GRU's step behind its matrix products.
#ifndef WHERRY_MATH_GRU_CELL_H_
#define WHERRY_MATH_GRU_CELL_H_

#include <cstdint>

#include "math/isa.h"

namespace wherry::math {

// Runs of floats, one for each unit.
struct GruUnits {
  float* x_z;  // sums of the input; RunGruReset makes the gate of them
  const float* x_r;
  const float* x_n;
  const float* old;  // the state before
  float* h;          // the state after
};

// The reset gate acts on the product with the state, of which h_z, h_r and h_n are the sums:
//   z = sigmoid(x_z + h_z)   r = sigmoid(x_r + h_r)   n = tanh(x_n + r h_n)   h = z old + (1 - z) n
void RunGruResetAfter(const GruUnits& units, const float* h_z, const float* h_r, const float* h_n, int64_t count,
                      Isa isa);

// The reset gate acts on the state; x_z and x_r hold all of their sums: x_z = sigmoid(x_z), reset = sigmoid(x_r) old. Then,
// when the product with reset is in x_n: h = x_z old + (1 - x_z) tanh(x_n).
void RunGruReset(const GruUnits& units, float* reset, int64_t count, Isa isa);
void RunGruUpdate(const GruUnits& units, int64_t count, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_GRU_CELL_H_
