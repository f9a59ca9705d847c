// What the two resizing kernels share: TensorFlow's three ways to map an output index to the input, and the checks.
#ifndef WHERRY_KERNELS_NN_RESIZE_H_
#define WHERRY_KERNELS_NN_RESIZE_H_

#include "kernels/select.h"

namespace wherry::kernels {

// One spatial dimension. All arithmetic in float32, as in TensorFlow: at the edges of pixels the rounding decides.
struct ResizeAxis {
  int64_t in = 0;
  int64_t out = 0;
  float scale = 0;

  ResizeAxis() = default;
  ResizeAxis(int64_t in_size, int64_t out_size, bool align_corners) : in(in_size), out(out_size) {
    scale = align_corners && out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1)
                                     : static_cast<float>(in) / static_cast<float>(out);
  }
};

struct ResizeParams {
  ResizeAxis h;
  ResizeAxis w;
  int64_t batch = 0;
  int64_t channels = 0;
  bool align_corners = false;
  bool half_pixel_centers = false;
};

// Inputs: images [batch, height, width, channels], size int32 [2]. The size is known: it is the output's.
inline Status PrepareResize(PrepareContext& context) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(0, 4));
  const Tensor& in = context.input(0);
  const Tensor& out = context.output(0);
  if (out.rank != 4 || out.dim(0) != in.dim(0) || out.dim(3) != in.dim(3)) {
    return context.Fail(Code::kCorrupt, "output and input differ in batch or channels");
  }
  if (in.dim(1) < 1 || in.dim(2) < 1 || out.dim(1) < 1 || out.dim(2) < 1) {
    return context.Fail(Code::kCorrupt, "images must not be empty");
  }
  ResizeParams params;
  params.align_corners = context.attrs().Bool("align_corners", false);
  params.half_pixel_centers = context.attrs().Bool("half_pixel_centers", false);
  if (params.align_corners && params.half_pixel_centers) {
    return context.Fail(Code::kCorrupt, "align_corners and half_pixel_centers exclude each other");
  }
  params.h = ResizeAxis(in.dim(1), out.dim(1), params.align_corners);
  params.w = ResizeAxis(in.dim(2), out.dim(2), params.align_corners);
  params.batch = in.dim(0);
  params.channels = in.dim(3);
  context.params<ResizeParams>() = params;
  return Status::Ok();
}

// Scratch memory for `width` bytes of each column of the output.
inline Status RequestColumns(PrepareContext& context, size_t width) {
  const int64_t columns = context.params<ResizeParams>().w.out;
  if (columns > int64_t{1} << 32) return context.Fail(Code::kCorrupt, "output is too wide");
  context.RequestScratch(static_cast<uint64_t>(columns) * width);
  return Status::Ok();
}

// Elements of the output that are worth a thread of their own.
inline constexpr int64_t kResizeGrain = 16384;

// Calls row(image, y, begin of the output row in elements) for every output row, on all threads.
template <typename Row>
void ForEachResizedRow(RunContext& context, const ResizeParams& p, const Row& row) {
  const int64_t row_size = p.w.out * p.channels;
  context.threads().ForRange(p.batch * p.h.out, 1 + kResizeGrain / (row_size + 1),
                             [&](int64_t begin, int64_t end, int) {
                               for (int64_t r = begin; r < end; ++r) row(r / p.h.out, r % p.h.out, r * row_size);
                             });
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_NN_RESIZE_H_
