// NotEqual: whether x != y, elementwise with broadcasting.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(NotEqual_f32)
WHERRY_PREPARE(NotEqual_f32) { return PrepareBinary<float, bool>(context); }
WHERRY_RUN(NotEqual_f32) { return RunBinary<float, bool>(context, [](float x, float y) { return x != y; }); }
#endif

#if WHERRY_SELECTED(NotEqual_i32)
WHERRY_PREPARE(NotEqual_i32) { return PrepareBinary<int32_t, bool>(context); }
WHERRY_RUN(NotEqual_i32) { return RunBinary<int32_t, bool>(context, [](int32_t x, int32_t y) { return x != y; }); }
#endif

#if WHERRY_SELECTED(NotEqual_i64)
WHERRY_PREPARE(NotEqual_i64) { return PrepareBinary<int64_t, bool>(context); }
WHERRY_RUN(NotEqual_i64) { return RunBinary<int64_t, bool>(context, [](int64_t x, int64_t y) { return x != y; }); }
#endif

#if WHERRY_SELECTED(NotEqual_b1)
WHERRY_PREPARE(NotEqual_b1) { return PrepareBinary<bool, bool>(context); }
WHERRY_RUN(NotEqual_b1) { return RunBinary<bool, bool>(context, [](bool x, bool y) { return x != y; }); }
#endif

}  // namespace wherry::kernels
