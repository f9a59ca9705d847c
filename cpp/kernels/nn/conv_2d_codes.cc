// Conv2D, float32 image, filter [kh, kw, in, out] of 8 or 16 bits in quads, in whole numbers: the image is quantized
// first, with one range for each image of the batch, or for each pixel where the filter has only one. One group.
// FusedConv2DAdd as in conv_2d.cc. Where memory is short, the output is made in bands of rows, and only what a band reads is
// quantized; the range is still that of the whole image.
#include <algorithm>

#include "kernels/codes.h"
#include "kernels/nn/conv_2d.h"
#include "kernels/select.h"
#include "math/strips.h"

namespace wherry::kernels {
namespace {

struct ConvCodesParams {
  Window window;
  math::CodeGemmPlan plan;  // of a band, but for the last one
  RowCodes rows;  // of a filter of one pixel
  int64_t band;   // rows of the output that are made at a time, of a filter of one pixel: pixels
  Fused fused;
  bool one_pixel;
  bool thrifty;   // bands are narrow, and of one image
  bool in_place;  // the product reads the image of codes where it lies
};

// Values [first, last) of some images of the batch.
struct ImagePart {
  int64_t image_begin, image_end;
  int64_t first, last;
};

// Scratch memory of a filter of several pixels: codes of the images, or of the rows that a band reads, a scale for each
// image, and what it takes to find them, before what the product needs.
struct ImageCodes {
  static constexpr int64_t kChunk = 4096;  // values whose range is found at a time

  int64_t batch;
  int64_t image;   // values
  int64_t run;     // values without a gap: all of them, or a pixel's
  int64_t pitch;   // values from one run to the next
  int64_t step;    // values of a chunk; whole runs where these are short
  int64_t chunks;  // of one image
  int64_t held;    // values whose codes are there at a time
  int planes;
  bool in_place;
  math::CodeImage padded;  // where it is in place

  ImageCodes(const Tensor& tensor, const ConvCodesParams& params)
      : batch(tensor.dim(0)),
        image(tensor.dim(1) * tensor.dim(2) * tensor.dim(3)),
        run(tensor.dense() ? batch * image : tensor.dim(3)),
        pitch(tensor.dense() ? run : tensor.pitch),
        step(StepOf(tensor, params.in_place)),
        chunks((image + step - 1) / step),
        held(params.thrifty ? math::MostRowsRead(params.window.h, params.band) * tensor.dim(2) * tensor.dim(3) : batch * image),
        planes(params.rows.planes),
        in_place(params.in_place),
        padded{params.window, tensor.dim(3), planes} {}

  static int64_t StepOf(const Tensor& tensor, bool whole_pixels) {
    const int64_t pixel = tensor.dim(3);
    return tensor.dense() && !whole_pixels ? kChunk : (pixel + kChunk - 1) / pixel * pixel;
  }

  ImagePart all() const { return {0, batch, 0, image}; }
  size_t plane_bytes() const { return Align64(static_cast<size_t>(held)); }
  size_t code_bytes() const {
    return in_place ? Align64(static_cast<size_t>(batch * padded.image_bytes())) : plane_bytes() * static_cast<size_t>(planes);
  }
  size_t scale_bytes() const { return Align64(static_cast<size_t>(batch) * sizeof(math::CodeScale)); }
  size_t range_bytes() const { return Align64(static_cast<size_t>(batch * chunks) * sizeof(math::ValueRange)); }
  size_t bytes() const { return code_bytes() + scale_bytes() + range_bytes(); }
};

// Plans for bands of so many rows, and asks for their scratch memory.
void PlanBand(PrepareContext& context, const ConvShape& shape, int64_t band, bool thrifty) {
  ConvCodesParams& params = context.params<ConvCodesParams>();
  params.band = band;
  params.thrifty = thrifty;
  const int weight_planes = WeightPlanes(context.input(1));
  const int threads = context.num_threads();
  size_t bytes = 0;
  if (params.one_pixel) {
    params.rows.rows = band;
    params.plan = params.rows.Plan(shape.outputs, weight_planes, context.isa(), threads, thrifty);
    bytes = params.rows.bytes();
  } else {
    const int64_t rows = thrifty ? band * shape.window.w.out : shape.rows;
    const Tensor& image = context.input(0);
    params.in_place = !thrifty && math::CodeImage{params.window, image.dim(3), params.rows.planes}.Fits(context.isa());
    const int64_t outputs = shape.window.h.out * shape.window.w.out;
    const int64_t source = image.dim(1) * image.dim(2) * image.dim(3) / std::max<int64_t>(outputs, 1);
    params.plan = math::PlanCodeGemm(rows, shape.k, shape.outputs, {params.rows.planes, weight_planes}, !params.in_place,
                                     context.isa(), threads, thrifty, source);
    bytes = ImageCodes(context.input(0), params).bytes();
  }
  context.RequestScratch(bytes + CodeGemmScratchBytes(params.plan, threads));
}

[[maybe_unused]] Status PrepareConvCodes(PrepareContext& context, bool adds_residual) {
  ConvShape shape;
  WHERRY_RETURN_IF_ERROR(ReadConvShape(context, &shape));
  if (shape.groups != 1) return context.Fail(Code::kCorrupt, "a grouped filter needs float arithmetic");
  WHERRY_RETURN_IF_ERROR(CheckQuadsOfPlanes(context, 1, shape.k, shape.outputs));
  context.AllowPitch(1, adds_residual ? 0 : 1);  // a residual is laid out like the output
  ConvCodesParams& params = context.params<ConvCodesParams>();
  params = ConvCodesParams();
  WHERRY_RETURN_IF_ERROR(adds_residual ? ReadFusedAdd(context, 2, shape.outputs, &params.fused)
                                       : ReadFused(context, 2, shape.outputs, &params.fused));
  params.fused.first_column = shape.first_output;
  params.window = shape.window;
  params.one_pixel = HasOnePixel(shape.window);
  params.rows.rows = shape.rows;
  params.rows.k = shape.k;
  WHERRY_RETURN_IF_ERROR(ReadPlanes(context, &params.rows.planes));
  const int64_t all = params.one_pixel ? shape.rows : shape.window.h.out;
  PlanBand(context, shape, all, false);
  int64_t band = std::max<int64_t>(all, 1);
  while (context.scratch_bytes() > context.scratch_limit()) {
    PlanBand(context, shape, band, true);
    if (band == 1) break;
    band = (band + 1) / 2;
  }
  return Status::Ok();
}

// The pixels that a filter of one pixel visits.
struct PixelRows {
  const float* image;
  Window window;
  int64_t channels;
  int64_t pitch;  // floats from one to the next
  int64_t first;  // that is row 0
  int planes;
  math::CodeScale* scales;
  Isa isa;
};

// A CopyCodes; source: a PixelRows. Each pixel that the filter visits becomes a row of codes.
void QuantizePixels(const void* source, int64_t row, int64_t rows, uint8_t* out, int64_t stride) {
  const PixelRows& pixels = *static_cast<const PixelRows*>(source);
  const WindowAxis& h = pixels.window.h;
  const WindowAxis& w = pixels.window.w;
  const int64_t k = pixels.channels;
  const int64_t first = pixels.first + row;
  if (h.stride == 1 && w.stride == 1) {
    math::QuantizeRows(pixels.image + first * pixels.pitch, pixels.pitch, rows, k, 0, pixels.planes, out, stride,
                       pixels.scales + row, pixels.isa);
    return;
  }
  int64_t done = 0;
  math::ForOutputRuns(pixels.window, first, rows, [&](int64_t b, int64_t y, int64_t x, int64_t count) {
    const float* from = pixels.image + ((b * h.in + y * h.stride) * w.in + x * w.stride) * pixels.pitch;
    math::QuantizeRows(from, w.stride * pixels.pitch, count, k, 0, pixels.planes, out + done * pixels.planes * stride, stride,
                       pixels.scales + row + done, pixels.isa);
    done += count;
  });
}

// visit(chunk, image of the batch, where the values lie in the batch, values, count) for each run of each chunk.
template <typename Visit>
void ForChunks(const RunContext& context, const ImageCodes& layout, const ImagePart& part, const Visit& visit) {
  const float* const image = context.input(0).as<const float>();
  const int64_t chunks = (part.last - part.first + layout.step - 1) / layout.step;
  const int64_t all = (part.image_end - part.image_begin) * chunks;
  context.threads().ForRange(all, 1 + kQuantizeGrain / (layout.step + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const int64_t first = part.first + chunk % chunks * layout.step;
      const int64_t b = part.image_begin + chunk / chunks;
      const int64_t stop = b * layout.image + std::min(first + layout.step, part.last);
      for (int64_t at = b * layout.image + first; at < stop;) {
        const int64_t count = std::min(layout.run - at % layout.run, stop - at);
        visit(chunk, b, at, image + at / layout.run * layout.pitch + at % layout.run, count);
        at += count;
      }
    }
  });
}

// Finds the scale of each image of the batch.
void FindScales(const RunContext& context, const ImageCodes& layout, math::CodeScale* scales, math::ValueRange* ranges) {
  for (int64_t chunk = 0; chunk < layout.batch * layout.chunks; ++chunk) ranges[chunk] = math::ValueRange();
  const auto join = [](const math::ValueRange& more, math::ValueRange* range) {
    if (more.low < range->low) range->low = more.low;
    if (more.high > range->high) range->high = more.high;
  };
  ForChunks(context, layout, layout.all(), [&](int64_t chunk, int64_t, int64_t, const float* values, int64_t count) {
    join(math::RangeOf(values, count, context.isa()), &ranges[chunk]);
  });
  for (int64_t b = 0; b < layout.batch; ++b) {
    math::ValueRange whole;
    for (int64_t chunk = b * layout.chunks; chunk < (b + 1) * layout.chunks; ++chunk) join(ranges[chunk], &whole);
    scales[b] = math::ScaleOf(whole, layout.planes);
  }
}

void QuantizeImages(const RunContext& context, const ImageCodes& layout, const ImagePart& part,
                    const math::CodeScale* scales, uint8_t* codes) {
  const int64_t begin = part.image_begin * layout.image + part.first;
  ForChunks(context, layout, part, [&](int64_t, int64_t b, int64_t at, const float* values, int64_t count) {
    if (layout.in_place) {
      const int64_t channels = layout.padded.channels;
      layout.padded.Quantize(values, at % layout.image / channels, count / channels, scales[b],
                             codes + b * layout.padded.image_bytes(), context.isa());
      return;
    }
    uint8_t* const to = codes + (at - begin);
    if (layout.planes == 1) {
      math::QuantizeRun(values, count, scales[b], to, context.isa());
    } else {
      math::QuantizeWideRun(values, count, scales[b], to, to + layout.plane_bytes(), context.isa());
    }
  });
}

// From a row of the output on.
math::Epilogue FromRow(const RunContext& context, const Fused& fused, int64_t row) {
  math::Epilogue epilogue = EpilogueOf(context, fused, 2);
  if (epilogue.residual != nullptr) epilogue.residual += row * RowStride(context);
  return epilogue;
}

void RunPixels(const RunContext& context, const ConvCodesParams& params, const math::QuadMatrix& filter) {
  const Tensor& image = context.input(0);
  const int64_t all = image.dim(0) * params.window.h.out * params.window.w.out;
  std::byte* const scratch = context.scratch();
  for (int64_t first = 0; first < all; first += params.band) {
    RowCodes rows = params.rows;
    rows.rows = std::min(params.band, all - first);
    const math::CodeGemmPlan plan =
        rows.rows == params.band
            ? params.plan
            : rows.Plan(params.plan.n, filter.planes, context.isa(), context.num_threads(), params.thrifty);
    const PixelRows source = {image.as<const float>(), params.window,      rows.k, image.pitch, first, rows.planes,
                              rows.scales(scratch),    context.isa()};
    math::CodeRows codes = rows.View(scratch);
    codes.copy = &QuantizePixels;
    codes.source = &source;
    if (rows.ahead) {
      context.threads().ForRange(rows.rows, 1 + kQuantizeGrain / (rows.k + 1), [&](int64_t begin, int64_t end, int) {
        QuantizePixels(&source, begin, end - begin, rows.codes(scratch, begin), rows.stride());
      });
    }
    RunCodeGemm(context, plan, codes, filter, FromRow(context, params.fused, first),
                ColumnsOut<float>(context, params.fused) + first * RowStride(context), RowStride(context),
                scratch + rows.bytes());
  }
}

// Output rows `out` of images of the batch: all of them, or of one image.
void RunBand(const RunContext& context, const ConvCodesParams& params, const ImageCodes& layout,
             const math::QuadMatrix& filter, const math::CodeScale* scales, const ImagePart& part, math::Rows in,
             math::Rows out) {
  const Tensor& image = context.input(0);
  uint8_t* const codes = reinterpret_cast<uint8_t*>(context.scratch());
  QuantizeImages(context, layout, part, scales, codes);
  math::CodePatches patches{PatchesOf(image, params.window, 0, image.dim(3)), codes,
                            layout.planes == 1 ? nullptr : codes + layout.plane_bytes(), scales + part.image_begin};
  patches.patches.pixel = image.dim(3);  // the codes have no gaps
  // The same window over an image that begins at the first row held and an output that begins at the first row wanted.
  Window& window = patches.patches.window;
  window.h.in = in.size();
  window.h.out = out.size();
  window.h.before += in.begin - out.begin * window.h.stride;
  math::CodeRows rows;
  rows.copy = math::CodePatchCopier(context.isa());
  rows.source = &patches;
  int32_t steps[math::kMostSteps];
  if (params.in_place) {
    layout.padded.FindSteps(steps);
    rows.codes = codes;
    rows.image = &layout.padded;
    rows.steps = steps;
  }
  rows.groups = params.plan.groups;
  rows.planes = layout.planes;
  rows.scales = patches.scales;
  rows.rows_per_scale = window.h.out * window.w.out;
  const int64_t count = (part.image_end - part.image_begin) * rows.rows_per_scale;
  const math::CodeGemmPlan plan =
      count * layout.planes == params.plan.m
          ? params.plan
          : math::PlanCodeGemm(count, params.rows.k, params.plan.n, {layout.planes, filter.planes}, true, context.isa(),
                               context.num_threads(), true);
  const int64_t first = (part.image_begin * params.window.h.out + out.begin) * window.w.out;
  RunCodeGemm(context, plan, rows, filter, FromRow(context, params.fused, first),
              ColumnsOut<float>(context, params.fused) + first * RowStride(context), RowStride(context),
              context.scratch() + layout.bytes());
}

[[maybe_unused]] Status RunConvCodes(RunContext& context) {
  const ConvCodesParams& params = context.params<ConvCodesParams>();
  const math::QuadMatrix filter = QuadsOf(context.input(1), params.rows.k, params.plan.n);
  if (params.plan.tasks() == 0) return Status::Ok();
  if (params.one_pixel) {
    RunPixels(context, params, filter);
    return Status::Ok();
  }
  const ImageCodes layout(context.input(0), params);
  std::byte* const behind = context.scratch() + layout.code_bytes();
  auto* const scales = reinterpret_cast<math::CodeScale*>(behind);
  FindScales(context, layout, scales, reinterpret_cast<math::ValueRange*>(behind + layout.scale_bytes()));
  const WindowAxis& h = params.window.h;
  if (!params.thrifty) {
    RunBand(context, params, layout, filter, scales, layout.all(), {0, h.in}, {0, h.out});
    return Status::Ok();
  }
  const int64_t row = layout.image / std::max<int64_t>(h.in, 1);
  for (int64_t b = 0; b < layout.batch; ++b) {
    for (int64_t y = 0; y < h.out; y += params.band) {
      const math::Rows out = {y, std::min(y + params.band, h.out)};
      const math::Rows in = math::RowsRead(h, out);
      RunBand(context, params, layout, filter, scales, {b, b + 1, in.begin * row, in.end * row}, in, out);
    }
  }
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(Conv2D_f32_di8)
WHERRY_PREPARE(Conv2D_f32_di8) { return PrepareConvCodes(context, false); }
WHERRY_RUN(Conv2D_f32_di8) { return RunConvCodes(context); }
#endif

#if WHERRY_SELECTED(FusedConv2DAdd_f32_di8)
WHERRY_PREPARE(FusedConv2DAdd_f32_di8) { return PrepareConvCodes(context, true); }
WHERRY_RUN(FusedConv2DAdd_f32_di8) { return RunConvCodes(context); }
#endif

}  // namespace wherry::kernels
