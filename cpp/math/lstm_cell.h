// The arithmetic of an LSTM cell after its matrix product: gates, new state and output in one pass over the units.
#ifndef WHERRY_MATH_LSTM_CELL_H_
#define WHERRY_MATH_LSTM_CELL_H_

#include <cstdint>

#include "math/isa.h"

namespace wherry::math {

// Runs of floats, one for each unit. All are written, and none overlaps another.
struct LstmUnits {
  float* i;   // sums, which become the gates' values
  float* ci;
  float* f;
  float* o;
  float* cs;  // from the old state to the new
  float* co;  // tanh of the new state
  float* h;
};

struct LstmPeepholes {  // all null where there are none
  const float* wci = nullptr;
  const float* wcf = nullptr;
  const float* wco = nullptr;
};

//   i = sigmoid(i + wci cs)   ci = tanh(ci)   f = sigmoid(f + wcf cs + forget_bias)
//   cs = ci i + f cs, clipped to +-clip   o = sigmoid(o + wco cs)   co = tanh(cs)   h = o co
// clip: infinity for none.
void RunLstmCell(const LstmUnits& units, const LstmPeepholes& peepholes, float forget_bias, float clip, int64_t count,
                 Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_LSTM_CELL_H_
