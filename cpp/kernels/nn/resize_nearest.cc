// ResizeNearestNeighbor: every output pixel is a copy of one input pixel. NHWC, by width of the elements.
#include <cmath>
#include <cstring>

#include "kernels/nn/resize.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(ResizeNearestNeighbor_x8) || WHERRY_SELECTED(ResizeNearestNeighbor_x32)
namespace {

Status PrepareNearest(PrepareContext& context, size_t width) {
  const DType type = context.num_inputs() > 0 ? context.input(0).dtype : DType::kInvalid;
  WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(0, type));
  if (SizeOf(type) != width) return context.Fail(Code::kCorrupt, "elements have the wrong width");
  return PrepareResize(context);
}

int64_t NearestIndex(const ResizeParams& p, const ResizeAxis& axis, int64_t o) {
  const float position = (static_cast<float>(o) + (p.half_pixel_centers ? 0.5F : 0.0F)) * axis.scale;
  const int64_t index = static_cast<int64_t>(p.align_corners ? std::round(position) : std::floor(position));
  return index >= axis.in ? axis.in - 1 : index;
}

template <typename T>
Status RunNearest(RunContext& context) {
  const ResizeParams& p = context.params<ResizeParams>();
  const T* in = context.input(0).as<const T>();
  T* out = context.output(0).as<T>();
  ForEachResizedRow(context, p, [&](int64_t image, int64_t y, int64_t begin) {
    const T* in_row = in + (image * p.h.in + NearestIndex(p, p.h, y)) * p.w.in * p.channels;
    T* to = out + begin;
    for (int64_t x = 0; x < p.w.out; ++x, to += p.channels) {
      const T* from = in_row + NearestIndex(p, p.w, x) * p.channels;
      std::memcpy(to, from, static_cast<size_t>(p.channels) * sizeof(T));
    }
  });
  return Status::Ok();
}

}  // namespace
#endif

#if WHERRY_SELECTED(ResizeNearestNeighbor_x8)
WHERRY_PREPARE(ResizeNearestNeighbor_x8) { return PrepareNearest(context, 1); }
WHERRY_RUN(ResizeNearestNeighbor_x8) { return RunNearest<uint8_t>(context); }
#endif

#if WHERRY_SELECTED(ResizeNearestNeighbor_x32)
WHERRY_PREPARE(ResizeNearestNeighbor_x32) { return PrepareNearest(context, 4); }
WHERRY_RUN(ResizeNearestNeighbor_x32) { return RunNearest<uint32_t>(context); }
#endif

}  // namespace wherry::kernels
