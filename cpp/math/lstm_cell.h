// The arithmetic of an LSTM cell after its matrix product: gates, new state and output in one pass over the units.
#ifndef WHERRY_MATH_LSTM_CELL_H_
#define WHERRY_MATH_LSTM_CELL_H_

#include <cstdint>

#include "math/isa.h"
#include "math/qgemm.h"
#include "math/quantize.h"

namespace wherry::math {

// Which quarter of the weights' columns each gate has.
struct LstmOrder {
  int i = 0;
  int ci = 0;
  int f = 0;
  int o = 0;
};

struct LstmPeepholes {  // [units]; all null where there are none
  const float* wci = nullptr;
  const float* wcf = nullptr;
  const float* wco = nullptr;
};

// What can be asked of a step, in the order of the outputs of BlockLSTM.
enum LstmValue { kLstmI, kLstmCs, kLstmF, kLstmO, kLstmCi, kLstmCo, kLstmH, kLstmValues };

// One step. Arrays are [batch, units]; none overlaps another.
struct LstmCell {
  LstmOrder order;
  LstmPeepholes peepholes;
  float forget_bias = 0.0F;
  float clip = 0.0F;  // infinity for none
  int64_t units = 0;
  float* cs = nullptr;  // from the old state to the new
  float* h = nullptr;
  float* values[kLstmValues] = {};  // copies, null for those that nobody wants
};

// For some units of one row, of which those of gate g have their sums at sums + g * stride:
//
//   i = sigmoid(i + wci cs)   ci = tanh(ci)   f = sigmoid(f + wcf cs + forget_bias)
//   cs = ci i + f cs, clipped to +-clip   o = sigmoid(o + wco cs)   co = tanh(cs)   h = o co
void RunLstmCell(const LstmCell& cell, const float* sums, int64_t stride, int64_t row, int64_t unit, int64_t count, Isa isa);

// A row's sums over the input, to which those of codes are added.
struct LstmCodeSums {
  const int32_t* codes = nullptr;  // [planes][gates][16] of 16 units (CodeRowProduct)
  int planes = 1;
  CodeScale read;                // of the row
  const float* scale = nullptr;  // [gates, units]: of the weights' columns, and those columns' sums
  const float* sums = nullptr;
  const float* input = nullptr;  // [gates, units]
};

// The same for units [unit, unit + 16). Bits are those of RunCodeGemmTask, which accumulates, and then RunLstmCell.
void RunLstmCodeCell(const LstmCell& cell, const LstmCodeSums& sums, int64_t row, int64_t unit, Isa isa);

// Panels of 16 units of one row, and the product that makes their sums.
struct LstmCodeRow {
  int64_t row = 0;
  int64_t first = 0;  // panel
  int64_t count = 0;
  bool falling = false;       // from the last panel to the first
  CodeRows state;             // of which the first row is multiplied
  const QuadMatrix& weights;  // of all gates
  LstmCodeSums sums;          // `codes` is not looked at
};

// The same for all those panels, their product included: each cell lies between stretches of the next panel's product. False
// where this Isa has no such function, or codes have two planes; nothing is done then.
bool RunLstmCodeRow(const LstmCell& cell, const LstmCodeRow& panels, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_LSTM_CELL_H_
