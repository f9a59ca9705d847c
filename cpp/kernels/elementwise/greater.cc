// Greater: whether x > y, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Greater_f32)
WHERRY_PREPARE(Greater_f32) { return PrepareBinary<float, bool>(context); }
WHERRY_RUN(Greater_f32) { return RunBinary<float, bool>(context, [](float x, float y) { return x > y; }); }
#endif

#if WHERRY_SELECTED(Greater_i32)
WHERRY_PREPARE(Greater_i32) { return PrepareBinary<int32_t, bool>(context); }
WHERRY_RUN(Greater_i32) { return RunBinary<int32_t, bool>(context, [](int32_t x, int32_t y) { return x > y; }); }
#endif

#if WHERRY_SELECTED(Greater_i64)
WHERRY_PREPARE(Greater_i64) { return PrepareBinary<int64_t, bool>(context); }
WHERRY_RUN(Greater_i64) { return RunBinary<int64_t, bool>(context, [](int64_t x, int64_t y) { return x > y; }); }
#endif

}  // namespace wherry::kernels
