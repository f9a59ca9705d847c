// Functions of two numbers over rows, compiled for each instruction set. Each rounds as its operations do, once for each of
// them, so all instruction sets give the same bits (quotients of 32-bit ARM aside, which are not rounded correctly).
#ifndef WHERRY_MATH_BINARY_H_
#define WHERRY_MATH_BINARY_H_

#include <cstdint>

#include "math/broadcast.h"
#include "math/isa.h"

namespace wherry::math {

enum class BinaryOp : uint8_t {
  kAdd,  // integers wrap, also in the next two
  kSub,
  kMul,
  kSquaredDifference,  // (x - y)^2
  kDiv,
  kDivNoNan,  // x / y, but 0 where y is 0
  kFloorDiv,  // x / y rounded down
  kMax,       // NaN where either is
  kMin,
  kAnd,
  kOr,
  kEqual,  // from here on, results are bool
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
};

constexpr bool IsComparison(BinaryOp op) { return op >= BinaryOp::kEqual; }

template <BinaryOp kBinaryOp, typename Element>
struct BinaryKind {
  static constexpr BinaryOp kOp = kBinaryOp;
  using T = Element;
};

// The function for rows of T: float, int32_t, int64_t or bool. At most one operand is a single element all along, unless
// the row has only one. The output may be an operand. There are those that kernels use: no quotients of integers; of bool
// kAnd, kOr, kEqual and kNotEqual.
template <BinaryOp kOp, typename T>
RowFunction BinaryRows(Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_BINARY_H_
