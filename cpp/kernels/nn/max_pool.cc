// MaxPool: the largest element of every window; padding never wins. NHWC, float32.
#include "kernels/nn/pool.h"
#include "math/pool.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(MaxPool_f32)
WHERRY_PREPARE(MaxPool_f32) { return PreparePool(context); }
WHERRY_RUN(MaxPool_f32) {
  ForWindows<float>(context, context.params<PoolParams>(), kPoolGrain, math::LargestOfWindow(context.isa()));
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
