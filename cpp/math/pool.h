// Windows of an NHWC image of floats: their largest element, or their mean. Windows are read row by row in one order, so all
// instruction sets give the same bits (the means of 32-bit ARM aside, whose quotients are not rounded correctly).
#ifndef WHERRY_MATH_POOL_H_
#define WHERRY_MATH_POOL_H_

#include "math/isa.h"
#include "math/pool_window.h"

namespace wherry::math {

using FloatWindow = PoolWindow<float>;
using FloatPooling = void (*)(const FloatWindow& window, float* out);

// out[c] = the largest of the window's elements of channel c; as in TensorFlow on CPUs, NaN is skipped, and without any
// number above it the result is the lowest finite one.
FloatPooling LargestOfWindow(Isa isa);

// out[c] = the mean of the window's elements of channel c.
FloatPooling MeanOfWindow(Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_POOL_H_
