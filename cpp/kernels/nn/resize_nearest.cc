// ResizeNearestNeighbor: every output pixel is a copy of one input pixel. NHWC, by width of the elements.
#include <cmath>

#include "kernels/nn/resize.h"
#include "math/resize.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(ResizeNearestNeighbor_x8) || WHERRY_SELECTED(ResizeNearestNeighbor_x32)
namespace {

Status PrepareNearest(PrepareContext& context, size_t width) {
  const DType type = context.num_inputs() > 0 ? context.input(0).dtype : DType::kInvalid;
  WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(0, type));
  if (SizeOf(type) != width) return context.Fail(Code::kCorrupt, "elements have the wrong width");
  WHERRY_RETURN_IF_ERROR(PrepareResize(context));
  return RequestColumns(context, sizeof(int64_t));
}

int64_t NearestIndex(const ResizeParams& p, const ResizeAxis& axis, int64_t o) {
  const float position = (static_cast<float>(o) + (p.half_pixel_centers ? 0.5F : 0.0F)) * axis.scale;
  const int64_t index = static_cast<int64_t>(p.align_corners ? std::round(position) : std::floor(position));
  return index >= axis.in ? axis.in - 1 : index;
}

Status RunNearest(RunContext& context, size_t width) {
  const ResizeParams& p = context.params<ResizeParams>();
  const uint8_t* in = context.input(0).as<const uint8_t>();
  uint8_t* out = context.output(0).as<uint8_t>();
  const int64_t element = static_cast<int64_t>(width);
  const int64_t pixel = p.channels * element;
  int64_t* columns = reinterpret_cast<int64_t*>(context.scratch());
  for (int64_t x = 0; x < p.w.out; ++x) columns[x] = NearestIndex(p, p.w, x) * pixel;
  ForEachResizedRow(context, p, [&](int64_t image, int64_t y, int64_t begin) {
    const uint8_t* row = in + (image * p.h.in + NearestIndex(p, p.h, y)) * p.w.in * pixel;
    math::CopyPixels(row, columns, p.w.out, pixel, out + begin * element, context.isa());
  });
  return Status::Ok();
}

}  // namespace
#endif

#if WHERRY_SELECTED(ResizeNearestNeighbor_x8)
WHERRY_PREPARE(ResizeNearestNeighbor_x8) { return PrepareNearest(context, 1); }
WHERRY_RUN(ResizeNearestNeighbor_x8) { return RunNearest(context, 1); }
#endif

#if WHERRY_SELECTED(ResizeNearestNeighbor_x32)
WHERRY_PREPARE(ResizeNearestNeighbor_x32) { return PrepareNearest(context, 4); }
WHERRY_RUN(ResizeNearestNeighbor_x32) { return RunNearest(context, 4); }
#endif

}  // namespace wherry::kernels
