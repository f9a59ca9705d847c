// AvgPool: the mean of every window, over the elements that are not padding. NHWC, float32.
#include "kernels/nn/pool.h"
#include "math/pool.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(AvgPool_f32)
WHERRY_PREPARE(AvgPool_f32) { return PreparePool(context); }
WHERRY_RUN(AvgPool_f32) {
  ForWindows<float>(context, context.params<PoolParams>(), kPoolGrain, math::MeanOfWindow(context.isa()));
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
