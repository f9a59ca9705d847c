// AvgPool: the mean of every window, over the elements that are not padding. NHWC, float32.
#include "kernels/nn/pool.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(AvgPool_f32)
namespace {

struct Mean {
  static void First(float* __restrict out, const float* __restrict in, int64_t n) {
    for (int64_t c = 0; c < n; ++c) out[c] = in[c];
  }
  static void Next(float* __restrict out, const float* __restrict in, int64_t n) {
    for (int64_t c = 0; c < n; ++c) out[c] += in[c];
  }
  static void Last(float* out, int64_t count, int64_t n) {
    const float divisor = static_cast<float>(count);
    for (int64_t c = 0; c < n; ++c) out[c] /= divisor;
  }
};

}  // namespace

WHERRY_PREPARE(AvgPool_f32) { return PreparePool(context); }
WHERRY_RUN(AvgPool_f32) { return RunPool<Mean>(context); }
#endif

}  // namespace wherry::kernels
