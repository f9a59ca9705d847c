// GatherV2 and Gather from a quantized table, such as an embedding: only the rows that are read are turned back into
// float32.
#include "kernels/array/coded.h"
#include "kernels/array/gather.h"

namespace wherry::kernels {

namespace {

Status PrepareCodedGather(PrepareContext& context, WeightFormat format) {
  WHERRY_RETURN_IF_ERROR(ExpectCoded(context, 0, format));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kF32));
  return PrepareGather(context);
}

Status RunCodedGather(RunContext& context, math::DequantizeElements dequantize) {
  const math::CodedElements coded = CodedOf(context.input(0));
  const int64_t inner = context.params<GatherParams>().inner;
  float* out = context.output(0).as<float>();
  return RunGather(context, [&](int64_t from, int64_t to) { dequantize(coded, from, from + inner, out + to); });
}

}  // namespace

#if WHERRY_SELECTED(GatherV2_f32_wf16)
WHERRY_PREPARE(GatherV2_f32_wf16) { return PrepareCodedGather(context, WeightFormat::kFloat16); }
WHERRY_RUN(GatherV2_f32_wf16) { return RunCodedGather(context, &math::DequantizeFloat16); }
#endif

#if WHERRY_SELECTED(GatherV2_f32_wi8)
WHERRY_PREPARE(GatherV2_f32_wi8) { return PrepareCodedGather(context, WeightFormat::kInt8); }
WHERRY_RUN(GatherV2_f32_wi8) { return RunCodedGather(context, &math::DequantizeInt8); }
#endif

#if WHERRY_SELECTED(GatherV2_f32_wmm)
WHERRY_PREPARE(GatherV2_f32_wmm) { return PrepareCodedGather(context, WeightFormat::kMinMax); }
WHERRY_RUN(GatherV2_f32_wmm) { return RunCodedGather(context, &math::DequantizeMinMax); }
#endif

}  // namespace wherry::kernels
