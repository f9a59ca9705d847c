// Checks of quantized weights in row-major order, and the view of them that math/dequantize.h reads.
#ifndef WHERRY_KERNELS_ARRAY_CODED_H_
#define WHERRY_KERNELS_ARRAY_CODED_H_

#include "kernels/shape.h"
#include "math/codes.h"
#include "math/dequantize.h"

namespace wherry::kernels {

// Input i is a float32 weight in this format, and its bytes and scales are all there.
inline Status ExpectCoded(const PrepareContext& context, int i, WeightFormat format) {
  WHERRY_RETURN_IF_ERROR(context.ExpectInputType(i, DType::kF32));
  const Tensor& input = context.input(i);
  const Quantization& quant = input.quant;
  if (quant.format != format || input.layout != Layout::kRowMajor) {
    return context.Fail(Code::kCorrupt, "input %d is not stored in this kernel's format, in rows", i);
  }
  const bool minmax = format == WeightFormat::kMinMax;
  if (minmax && (quant.bits < 2 || quant.bits > 16)) {
    return context.Fail(Code::kCorrupt, "input %d has codes of %d bits", i, static_cast<int>(quant.bits));
  }
  const int bits = minmax ? quant.bits : (format == WeightFormat::kInt8 ? 8 : 16);
  const uint64_t needed = static_cast<uint64_t>(math::CodeBytes(input.count(), bits));
  if (needed > input.bytes) return context.Fail(Code::kCorrupt, "input %d has fewer bytes than its shape needs", i);
  if (format != WeightFormat::kFloat16) {
    if (quant.channels < 1 || (input.rank > 0 && quant.axis >= input.rank)) {
      return context.Fail(Code::kCorrupt, "input %d has no channels", i);
    }
  }
  return Status::Ok();
}

// For Run, where data and scales are there.
inline math::CodedElements CodedOf(const Tensor& tensor) {
  const Quantization& quant = tensor.quant;
  math::CodedElements coded;
  coded.data = tensor.data;
  coded.bits = quant.bits;
  coded.scale = quant.scale;
  coded.offset = quant.offset;
  coded.channels = quant.channels < 1 ? 1 : quant.channels;
  coded.inner = 1;
  for (int d = quant.axis + 1; d < tensor.rank; ++d) coded.inner *= tensor.dim(d);
  if (coded.inner < 1) coded.inner = 1;
  return coded;
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_ARRAY_CODED_H_
