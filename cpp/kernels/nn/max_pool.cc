// MaxPool: the largest element of every window; padding never wins. NHWC, float32.
#include <cfloat>

#include "kernels/nn/pool.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(MaxPool_f32)
namespace {

// As in TensorFlow on CPUs: NaN is skipped, and a window without any number above it gives the lowest finite one.
struct Max {
  static void First(float* __restrict out, const float* __restrict in, int64_t n) {
    for (int64_t c = 0; c < n; ++c) out[c] = in[c] > -FLT_MAX ? in[c] : -FLT_MAX;
  }
  static void Next(float* __restrict out, const float* __restrict in, int64_t n) {
    for (int64_t c = 0; c < n; ++c) out[c] = in[c] > out[c] ? in[c] : out[c];
  }
  static void Last(float*, int64_t, int64_t) {}
};

}  // namespace

WHERRY_PREPARE(MaxPool_f32) { return PreparePool(context); }
WHERRY_RUN(MaxPool_f32) { return RunPool<Max>(context); }
#endif

}  // namespace wherry::kernels
