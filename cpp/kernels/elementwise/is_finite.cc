// IsFinite: whether x is neither infinite nor NaN, elementwise.
#include <bit>

#include "kernels/elementwise/unary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(IsFinite_f32)
WHERRY_PREPARE(IsFinite_f32) { return PrepareUnary(context, DType::kF32, DType::kBool); }
WHERRY_RUN(IsFinite_f32) {
  return RunUnary<float, bool>(
      context, [](float x) { return (std::bit_cast<uint32_t>(x) & 0x7F800000U) != 0x7F800000U; });
}
#endif

}  // namespace wherry::kernels
