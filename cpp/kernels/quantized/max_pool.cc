// MaxPool of 8-bit codes: the largest code of every window. Input and output have the same scale, so it does not matter.
#include "kernels/nn/pool.h"
#include "kernels/quantized/scales.h"
#include "math/code_pool.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(MaxPool_u8)
WHERRY_PREPARE(MaxPool_u8) { return PreparePool(context, DType::kU8); }
WHERRY_RUN(MaxPool_u8) {
  ForWindows<uint8_t>(context, context.params<PoolParams>(), kCodeGrain,
                      [&](const math::CodeWindow& window, uint8_t* out) {
                        math::LargestCodes(window, out, context.isa());
                      });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
