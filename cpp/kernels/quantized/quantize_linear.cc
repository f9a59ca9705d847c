// QuantizeLinear: float32 to 8-bit codes of a fixed scale: clamp(round(x / scale) + zero, 0, 255), halves to even.
#include "kernels/quantized/scales.h"
#include "kernels/select.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(QuantizeLinear_f32_u8)
WHERRY_PREPARE(QuantizeLinear_f32_u8) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(1, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kU8));
  WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 0, context.input(0).shape()));
  return ReadScale(context, kOutputScale, &context.params<math::CodeScale>());
}

WHERRY_RUN(QuantizeLinear_f32_u8) {
  const math::CodeScale scale = context.params<math::CodeScale>();
  const float* in = context.input(0).as<const float>();
  uint8_t* out = context.output(0).as<uint8_t>();
  context.threads().ForRange(context.input(0).count(), kCodeGrain, [&](int64_t begin, int64_t end, int) {
    math::QuantizeRun(in + begin, end - begin, scale, out + begin, context.isa());
  });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
