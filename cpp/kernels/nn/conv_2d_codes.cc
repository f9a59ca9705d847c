// Conv2D, float32 image, 8-bit filter [kh, kw, in, out] in quads, in whole numbers: the image is quantized first, with one
// range for each image of the batch, or for each pixel where the filter has only one. One group.
// FusedConv2DAdd as in conv_2d.cc.
#include <algorithm>

#include "kernels/codes.h"
#include "kernels/nn/conv_2d.h"
#include "kernels/select.h"

namespace wherry::kernels {
namespace {

struct ConvCodesParams {
  Window window;
  math::CodeGemmPlan plan;
  RowCodes rows;  // of a filter of one pixel
  bool one_pixel = false;
  Fused fused;
};

// Scratch memory of a filter of several pixels: the image's codes, a scale for each image, and what it takes to find
// them, before what the product needs.
struct ImageCodes {
  static constexpr int64_t kChunk = 4096;  // values whose range is found at a time

  int64_t batch;
  int planes;
  int64_t image;  // values
  int64_t run;    // values without a gap: all of them, or a pixel's
  int64_t pitch;  // values from one run to the next
  int64_t step;   // values of a chunk; whole runs where these are short
  int64_t chunks;  // of one image

  ImageCodes(const Tensor& tensor, int code_planes)
      : batch(tensor.dim(0)),
        planes(code_planes),
        image(tensor.dim(1) * tensor.dim(2) * tensor.dim(3)),
        run(tensor.dense() ? batch * image : tensor.dim(3)),
        pitch(tensor.dense() ? run : tensor.pitch),
        step(tensor.dense() ? kChunk : (run + kChunk - 1) / run * run),
        chunks((image + step - 1) / step) {}

  size_t plane_bytes() const { return Align64(static_cast<size_t>(batch * image)); }
  size_t code_bytes() const { return plane_bytes() * static_cast<size_t>(planes); }
  size_t scale_bytes() const { return Align64(static_cast<size_t>(batch) * sizeof(math::CodeScale)); }
  size_t range_bytes() const { return Align64(static_cast<size_t>(batch * chunks) * sizeof(math::ValueRange)); }
  size_t bytes() const { return code_bytes() + scale_bytes() + range_bytes(); }
};

[[maybe_unused]] Status PrepareConvCodes(PrepareContext& context, bool adds_residual) {
  ConvShape shape;
  WHERRY_RETURN_IF_ERROR(ReadConvShape(context, &shape));
  if (shape.groups != 1) return context.Fail(Code::kCorrupt, "a grouped filter needs float arithmetic");
  WHERRY_RETURN_IF_ERROR(CheckQuads(context, 1, shape.k, shape.outputs));
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
  const int planes = params.rows.planes;
  const int threads = context.num_threads();
  params.plan = params.one_pixel ? params.rows.Plan(shape.outputs, context.isa(), threads)
                                 : math::PlanCodeGemm(shape.rows, shape.k, shape.outputs, planes, true, context.isa(), threads);
  context.RequestScratch((params.one_pixel ? params.rows.bytes() : ImageCodes(context.input(0), planes).bytes()) +
                         CodeGemmScratchBytes(params.plan, threads));
  return Status::Ok();
}

// The pixels that a filter of one pixel visits.
struct PixelRows {
  const float* image;
  Window window;
  int64_t channels;
  int64_t pitch;  // floats from one to the next
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
  if (h.stride == 1 && w.stride == 1) {
    math::QuantizeRows(pixels.image + row * pixels.pitch, pixels.pitch, rows, k, 0, pixels.planes, out, stride,
                       pixels.scales + row, pixels.isa);
    return;
  }
  int64_t done = 0;
  math::ForOutputRuns(pixels.window, row, rows, [&](int64_t b, int64_t y, int64_t x, int64_t count) {
    const float* from = pixels.image + ((b * h.in + y * h.stride) * w.in + x * w.stride) * pixels.pitch;
    math::QuantizeRows(from, w.stride * pixels.pitch, count, k, 0, pixels.planes, out + done * pixels.planes * stride, stride,
                       pixels.scales + row + done, pixels.isa);
    done += count;
  });
}

void QuantizeImages(const RunContext& context, const ImageCodes& layout, uint8_t* codes, math::CodeScale* scales,
                    math::ValueRange* ranges) {
  const float* const image = context.input(0).as<const float>();
  const int64_t chunks = layout.batch * layout.chunks;
  const auto each_chunk = [&](const auto& visit) {
    context.threads().ForRange(chunks, 1 + kQuantizeGrain / (layout.step + 1), [&](int64_t begin, int64_t end, int) {
      for (int64_t chunk = begin; chunk < end; ++chunk) {
        const int64_t first = chunk % layout.chunks * layout.step;
        const int64_t b = chunk / layout.chunks, end = b * layout.image + std::min(first + layout.step, layout.image);
        for (int64_t at = b * layout.image + first; at < end;) {
          const int64_t count = std::min(layout.run - at % layout.run, end - at);
          visit(chunk, b, at, image + at / layout.run * layout.pitch + at % layout.run, count);
          at += count;
        }
      }
    });
  };
  for (int64_t chunk = 0; chunk < chunks; ++chunk) ranges[chunk] = math::ValueRange();
  const auto join = [](const math::ValueRange& more, math::ValueRange* range) {
    if (more.low < range->low) range->low = more.low;
    if (more.high > range->high) range->high = more.high;
  };
  each_chunk([&](int64_t chunk, int64_t, int64_t, const float* values, int64_t count) {
    join(math::RangeOf(values, count, context.isa()), &ranges[chunk]);
  });
  for (int64_t b = 0; b < layout.batch; ++b) {
    math::ValueRange whole;
    for (int64_t chunk = b * layout.chunks; chunk < (b + 1) * layout.chunks; ++chunk) join(ranges[chunk], &whole);
    scales[b] = math::ScaleOf(whole, layout.planes);
  }
  each_chunk([&](int64_t, int64_t b, int64_t at, const float* values, int64_t count) {
    if (layout.planes == 1) {
      math::QuantizeRun(values, count, scales[b], codes + at, context.isa());
    } else {
      math::QuantizeWideRun(values, count, scales[b], codes + at, codes + layout.plane_bytes() + at, context.isa());
    }
  });
}

[[maybe_unused]] Status RunConvCodes(RunContext& context) {
  const ConvCodesParams& params = context.params<ConvCodesParams>();
  const Tensor& image = context.input(0);
  const math::QuadMatrix filter = QuadsOf(context.input(1), params.rows.k, params.plan.n);
  const math::Epilogue epilogue = EpilogueOf(context, params.fused, 2);
  float* const out = ColumnsOut<float>(context, params.fused);
  const int64_t stride = RowStride(context);
  std::byte* const scratch = context.scratch();
  if (params.plan.tasks() == 0) return Status::Ok();
  if (params.one_pixel) {
    const RowCodes& rows = params.rows;
    const PixelRows source = {image.as<const float>(), params.window, rows.k, image.pitch, rows.planes,
                              rows.scales(scratch), context.isa()};
    math::CodeRows codes = rows.View(scratch);
    codes.copy = &QuantizePixels;
    codes.source = &source;
    if (rows.ahead) {
      context.threads().ForRange(rows.rows, 1 + kQuantizeGrain / (rows.k + 1), [&](int64_t begin, int64_t end, int) {
        QuantizePixels(&source, begin, end - begin, rows.codes(scratch, begin), rows.stride());
      });
    }
    RunCodeGemm(context, params.plan, codes, filter, epilogue, out, stride, scratch + rows.bytes());
    return Status::Ok();
  }
  const ImageCodes layout(image, params.rows.planes);
  uint8_t* const codes = reinterpret_cast<uint8_t*>(scratch);
  auto* const scales = reinterpret_cast<math::CodeScale*>(scratch + layout.code_bytes());
  auto* const ranges = reinterpret_cast<math::ValueRange*>(scratch + layout.code_bytes() + layout.scale_bytes());
  QuantizeImages(context, layout, codes, scales, ranges);
  math::CodePatches patches{PatchesOf(image, params.window, 0, image.dim(3)), codes,
                             layout.planes == 1 ? nullptr : codes + layout.plane_bytes(), scales};
  patches.patches.pixel = image.dim(3);  // the codes have no gaps
  math::CodeRows rows;
  rows.copy = math::CodePatchCopier(context.isa());
  rows.source = &patches;
  rows.groups = params.plan.groups;
  rows.planes = layout.planes;
  rows.scales = scales;
  rows.rows_per_scale = params.window.h.out * params.window.w.out;
  RunCodeGemm(context, params.plan, rows, filter, epilogue, out, stride, scratch + layout.bytes());
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
