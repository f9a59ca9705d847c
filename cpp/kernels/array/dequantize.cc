// Dequantize: a quantized weight as a float32 tensor, for ops that have no kernel of their own for quantized weights.
// Not TensorFlow's op of this name.
#include "kernels/array/coded.h"
#include "kernels/select.h"

namespace wherry::kernels {

namespace {

Status PrepareDequantize(PrepareContext& context, WeightFormat format) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(1, 1));
  WHERRY_RETURN_IF_ERROR(ExpectCoded(context, 0, format));
  WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(0, DType::kF32));
  if (!context.input(0).SameShape(context.output(0))) {
    return context.Fail(Code::kCorrupt, "output and input differ in shape");
  }
  return Status::Ok();
}

Status RunDequantize(RunContext& context, math::DequantizeElements dequantize) {
  constexpr int64_t kGrain = 32768;
  const math::CodedElements coded = CodedOf(context.input(0));
  float* out = context.output(0).as<float>();
  context.threads().ForRange(context.output(0).count(), kGrain, [&](int64_t begin, int64_t end, int) {
    dequantize(coded, begin, end, out + begin);
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(Dequantize_f32_wf16)
WHERRY_PREPARE(Dequantize_f32_wf16) { return PrepareDequantize(context, WeightFormat::kFloat16); }
WHERRY_RUN(Dequantize_f32_wf16) { return RunDequantize(context, &math::DequantizeFloat16); }
#endif

#if WHERRY_SELECTED(Dequantize_f32_wi8)
WHERRY_PREPARE(Dequantize_f32_wi8) { return PrepareDequantize(context, WeightFormat::kInt8); }
WHERRY_RUN(Dequantize_f32_wi8) { return RunDequantize(context, &math::DequantizeInt8); }
#endif

#if WHERRY_SELECTED(Dequantize_f32_wmm)
WHERRY_PREPARE(Dequantize_f32_wmm) { return PrepareDequantize(context, WeightFormat::kMinMax); }
WHERRY_RUN(Dequantize_f32_wmm) { return RunDequantize(context, &math::DequantizeMinMax); }
#endif

}  // namespace wherry::kernels
