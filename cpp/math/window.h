// The sliding window of convolutions and pooling, as all loops over windows take it.
#ifndef WHERRY_MATH_WINDOW_H_
#define WHERRY_MATH_WINDOW_H_

#include <cstdint>

namespace wherry::math {

// One spatial dimension, in elements. Output o reads inputs o * stride - before + k * dilation, 0 <= k < filter;
// those outside [0, in) are padding.
struct WindowAxis {
  int64_t in = 0;
  int64_t out = 0;
  int64_t filter = 1;
  int64_t stride = 1;
  int64_t dilation = 1;
  int64_t before = 0;
  int64_t after = 0;
};

struct Window {
  WindowAxis h;
  WindowAxis w;
};

// Calls run(b, y, x, count) for the runs of neighbours that outputs [first, first + outputs) of all images are made of, in
// order: output (y, x) of image b and its count - 1 neighbours to the right.
template <class Run>
inline void ForOutputRuns(const Window& window, int64_t first, int64_t outputs, const Run& run) {
  int64_t x = first % window.w.out;
  int64_t y = first / window.w.out % window.h.out;
  int64_t b = first / window.w.out / window.h.out;
  while (outputs > 0) {
    const int64_t count = outputs < window.w.out - x ? outputs : window.w.out - x;
    run(b, y, x, count);
    outputs -= count;
    x = 0;
    if (++y == window.h.out) {
      y = 0;
      ++b;
    }
  }
}

}  // namespace wherry::math

#endif  // WHERRY_MATH_WINDOW_H_
