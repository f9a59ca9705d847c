// DequantizeLinear: 8-bit codes of a fixed scale back to float32: scale * (code - zero).
#include "kernels/quantized/scales.h"
#include "kernels/select.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(DequantizeLinear_u8_f32)
WHERRY_PREPARE(DequantizeLinear_u8_f32) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(1, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kU8));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 0, context.input(0).shape()));
  return ReadScale(context, kInputScale, &context.params<math::CodeScale>());
}

WHERRY_RUN(DequantizeLinear_u8_f32) {
  const math::CodeScale scale = context.params<math::CodeScale>();
  const uint8_t* in = context.input(0).as<const uint8_t>();
  float* out = context.output(0).as<float>();
  context.threads().ForRange(context.input(0).count(), kCodeGrain, [&](int64_t begin, int64_t end, int) {
    math::ValuesOfCodes(in + begin, end - begin, scale, out + begin, context.isa());
  });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
