// What becomes of a block of sums of products of codes (math/qgemm.h): values, with bias, residual and activation, or codes.
#ifndef WHERRY_MATH_QGEMM_STORE_H_
#define WHERRY_MATH_QGEMM_STORE_H_

#include <cstdint>

#include "math/qgemm.h"

namespace wherry::math {

// A block of sums and where in C its results go.
struct SumBlock {
  const int32_t* sums;  // [rows * a.planes][stride], in each row panels of B
  int64_t stride;
  int64_t row;          // of C
  int64_t rows;
  int64_t column;
  int64_t columns;  // of C, in the block
};

// To C, rows of float32 that are ldc apart; as RunCodeGemmTask.
void StoreValues(const SumBlock& block, const CodeRows& a, const QuadMatrix& b, const Epilogue& epilogue, float* c,
                 int64_t ldc, Isa isa);

// To codes, rounded once. A has one plane and one scale, B one plane.
void StoreCodes(const SumBlock& block, const CodeRows& a, const QuadMatrix& b, const CodeResult& result, Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_QGEMM_STORE_H_
