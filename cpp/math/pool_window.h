// What pooling takes in for one output pixel.
#ifndef WHERRY_MATH_POOL_WINDOW_H_
#define WHERRY_MATH_POOL_WINDOW_H_

#include <cstdint>

namespace wherry::math {

// rows x columns pixels of an NHWC image, the first at `pixels`, all of them inside of it; not empty. Steps in elements.
template <typename T>
struct PoolWindow {
  const T* pixels = nullptr;
  int64_t rows = 1;
  int64_t columns = 1;
  int64_t row_step = 0;    // from one row to the next
  int64_t pixel_step = 0;  // from one pixel to the next
  int64_t channels = 0;
};

}  // namespace wherry::math

#endif  // WHERRY_MATH_POOL_WINDOW_H_
