// QLinearAdd: the sum of two tensors of 8-bit codes of the same shape, each of a scale of its own, with a fused activation.
#include "kernels/quantized/scales.h"
#include "kernels/select.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(QLinearAdd_u8)
WHERRY_PREPARE(QLinearAdd_u8) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  for (int i = 0; i < 2; ++i) {
    WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, i, DType::kU8));
    WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 0, context.input(i).shape()));
  }
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kU8));
  math::CodeScale a, b, out;
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kInputScale, &a));
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kOtherScale, &b));
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kOutputScale, &out));
  math::CodeLimits limits;
  WHERRY_RETURN_IF_ERROR(ReadLimits(context, out, &limits));
  context.params<math::CodeSum>() = math::SumOf(a, b, out, limits);
  return Status::Ok();
}

WHERRY_RUN(QLinearAdd_u8) {
  const math::CodeSum& sum = context.params<math::CodeSum>();
  const uint8_t* a = context.input(0).as<const uint8_t>();
  const uint8_t* b = context.input(1).as<const uint8_t>();
  uint8_t* out = context.output(0).as<uint8_t>();
  context.threads().ForRange(context.output(0).count(), kCodeGrain, [&](int64_t begin, int64_t end, int) {
    math::AddCodes(a + begin, b + begin, end - begin, sum, out + begin, context.isa());
  });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
