// QLinearLookup: a function of one 8-bit code, as a table of its 256 results: any activation, or codes of another scale.
#include "kernels/quantized/scales.h"
#include "kernels/select.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(QLinearLookup_u8)
WHERRY_PREPARE(QLinearLookup_u8) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kU8));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 1, DType::kU8));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kU8));
  if (context.input(1).count() != 256) return context.Fail(Code::kCorrupt, "the table must have 256 entries");
  return ExpectOutputShape(context, 0, context.input(0).shape());
}

WHERRY_RUN(QLinearLookup_u8) {
  const uint8_t* in = context.input(0).as<const uint8_t>();
  const uint8_t* table = context.input(1).as<const uint8_t>();
  uint8_t* out = context.output(0).as<uint8_t>();
  context.threads().ForRange(context.input(0).count(), kCodeGrain, [&](int64_t begin, int64_t end, int) {
    math::LookUpCodes(in + begin, end - begin, table, out + begin, context.isa());
  });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
