// ResizeBilinear: every output pixel mixes the four input pixels around it. NHWC, float32 out.
#include <cmath>

#include "kernels/nn/resize.h"
#include "math/resize.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(ResizeBilinear_f32) || WHERRY_SELECTED(ResizeBilinear_u8)
namespace {

using math::Blend;

Blend BlendOf(const ResizeParams& p, const ResizeAxis& axis, int64_t o) {
  const float index = static_cast<float>(o);
  const float position = p.half_pixel_centers ? (index + 0.5F) * axis.scale - 0.5F : index * axis.scale;
  const float below = std::floor(position);
  Blend blend{static_cast<int64_t>(below), static_cast<int64_t>(std::ceil(position)), position - below};
  if (blend.lower < 0) blend.lower = 0;
  if (blend.upper >= axis.in) blend.upper = axis.in - 1;
  if (blend.lower > blend.upper) blend.lower = blend.upper;
  return blend;
}

Status PrepareBilinear(PrepareContext& context, DType type) {
  WHERRY_RETURN_IF_ERROR(context.ExpectInputType(0, type));
  WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(PrepareResize(context));
  return RequestColumns(context, sizeof(Blend));
}

template <typename T>
Status RunBilinear(RunContext& context) {
  const ResizeParams& p = context.params<ResizeParams>();
  const T* in = context.input(0).as<const T>();
  float* out = context.output(0).as<float>();
  Blend* columns = reinterpret_cast<Blend*>(context.scratch());
  for (int64_t x = 0; x < p.w.out; ++x) columns[x] = BlendOf(p, p.w, x);
  const int64_t in_row = p.w.in * p.channels;
  ForEachResizedRow(context, p, [&](int64_t image, int64_t y, int64_t begin) {
    const Blend rows = BlendOf(p, p.h, y);
    const T* top = in + (image * p.h.in + rows.lower) * in_row;
    const T* bottom = in + (image * p.h.in + rows.upper) * in_row;
    math::BlendRow(math::RowPair<T>{top, bottom, p.w.in, rows.fraction}, columns, p.w.out, p.channels, out + begin,
                   context.isa());
  });
  return Status::Ok();
}

}  // namespace
#endif

#if WHERRY_SELECTED(ResizeBilinear_f32)
WHERRY_PREPARE(ResizeBilinear_f32) { return PrepareBilinear(context, DType::kF32); }
WHERRY_RUN(ResizeBilinear_f32) { return RunBilinear<float>(context); }
#endif

#if WHERRY_SELECTED(ResizeBilinear_u8)
WHERRY_PREPARE(ResizeBilinear_u8) { return PrepareBilinear(context, DType::kU8); }
WHERRY_RUN(ResizeBilinear_u8) { return RunBilinear<uint8_t>(context); }
#endif

}  // namespace wherry::kernels
