// ResizeBilinear: every output pixel mixes the four input pixels around it. NHWC, float32 out.
#include <cmath>

#include "kernels/nn/resize.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(ResizeBilinear_f32) || WHERRY_SELECTED(ResizeBilinear_u8)
namespace {

// The two input indices that an output index lies between, and how far it is from the first.
struct Blend {
  int64_t lower;
  int64_t upper;
  float fraction;
};

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
  const int64_t columns = context.params<ResizeParams>().w.out;
  if (columns > int64_t{1} << 32) return context.Fail(Code::kCorrupt, "output is too wide");
  context.RequestScratch(static_cast<uint64_t>(columns) * sizeof(Blend));
  return Status::Ok();
}

template <typename T>
void BlendPixel(const T* __restrict top, const T* __restrict bottom, int64_t left, int64_t right, float fx, float fy,
                float* __restrict out, int64_t channels) {
  const T* __restrict top_right = top + right;
  const T* __restrict bottom_right = bottom + right;
  top += left;
  bottom += left;
  for (int64_t c = 0; c < channels; ++c) {
    const float tl = static_cast<float>(top[c]);
    const float bl = static_cast<float>(bottom[c]);
    const float t = tl + (static_cast<float>(top_right[c]) - tl) * fx;
    const float b = bl + (static_cast<float>(bottom_right[c]) - bl) * fx;
    out[c] = t + (b - t) * fy;
  }
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
    float* to = out + begin;
    for (int64_t x = 0; x < p.w.out; ++x, to += p.channels) {
      BlendPixel(top, bottom, columns[x].lower * p.channels, columns[x].upper * p.channels, columns[x].fraction,
                 rows.fraction, to, p.channels);
    }
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
