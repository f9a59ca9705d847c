// AddV2 and Add: x + y, elementwise with broadcasting; integers wrap.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(AddV2_f32)
WHERRY_PREPARE(AddV2_f32) { return PrepareBinary<float, float>(context); }
WHERRY_RUN(AddV2_f32) { return RunBinary<float, float>(context, [](float x, float y) { return x + y; }); }
#endif

#if WHERRY_SELECTED(AddV2_i32)
WHERRY_PREPARE(AddV2_i32) { return PrepareBinary<int32_t, int32_t>(context); }
WHERRY_RUN(AddV2_i32) {
  return RunBinary<int32_t, int32_t>(context, [](int32_t x, int32_t y) { return WrapAdd(x, y); });
}
#endif

#if WHERRY_SELECTED(AddV2_i64)
WHERRY_PREPARE(AddV2_i64) { return PrepareBinary<int64_t, int64_t>(context); }
WHERRY_RUN(AddV2_i64) {
  return RunBinary<int64_t, int64_t>(context, [](int64_t x, int64_t y) { return WrapAdd(x, y); });
}
#endif

}  // namespace wherry::kernels
