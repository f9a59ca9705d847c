// Mean over axes, global average pooling among them; NaN over nothing.
#include "kernels/reduce/reduce.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(Mean_f32)
WHERRY_PREPARE(Mean_f32) { return PrepareReduceFloats(context); }
WHERRY_RUN(Mean_f32) { return RunReduceFloats(context, math::MeanOfFloats()); }
#endif

}  // namespace wherry::kernels
