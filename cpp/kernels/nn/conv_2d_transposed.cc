// Conv2DBackpropInput, float32, NHWC: the transposed convolution, with a fused bias and activation.
//
// Inputs: the output's shape, the filter [kh, kw, out, in] in panels of [in, kh * kw * out], and the image. The image's
// pixels are multiplied with the whole filter, a band of rows at a time so that scratch memory stays small, and the
// products are gathered for each output pixel.
#include <algorithm>

#include "kernels/nn/fused.h"
#include "kernels/nn/window.h"
#include "kernels/panels.h"
#include "kernels/select.h"
#include "math/scatter.h"

namespace wherry::kernels {
namespace {

struct TransposedParams {
  Window window;      // of the convolution that goes the other way: its input is this kernel's output
  Fused fused;
  int64_t depth = 0;     // channels of the image
  int64_t columns = 0;   // kh * kw * out
  int64_t band = 0;      // output rows at a time
  size_t products_bytes = 0;
};

constexpr int64_t kBandBytes = int64_t{1} << 21;

constexpr int64_t RoundUp64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Image rows [first, last] that reach output rows [begin, end).
struct ImageRows {
  int64_t first;
  int64_t last;
  int64_t count() const { return last < first ? 0 : last - first + 1; }
};

ImageRows RowsFor(const WindowAxis& h, int64_t begin, int64_t end) {
  const int64_t reach = (h.filter - 1) * h.dilation;
  const int64_t low = begin + h.before - reach;
  return {low <= 0 ? 0 : (low + h.stride - 1) / h.stride, std::min(h.out - 1, (end - 1 + h.before) / h.stride)};
}

// The most image rows that a band of output rows needs.
int64_t MostRows(const WindowAxis& h, int64_t band) {
  return std::min(h.out, (band - 1 + (h.filter - 1) * h.dilation) / h.stride + 1);
}

Status PlanTransposed(PrepareContext& context, const Tensor& filter, Window* window) {
  const Tensor& image = context.input(2);
  const Tensor& out = context.output(0);
  if (image.rank != 4 || out.rank != 4) return context.Fail(Code::kCorrupt, "image and output must have rank 4");
  const Attributes& attrs = context.attrs();
  const Span<const int64_t> strides = attrs.Ints("strides");
  const Span<const int64_t> dilations = attrs.Ints("dilations");
  const Span<const int64_t> paddings = attrs.Ints("explicit_paddings");
  const StringView padding = attrs.String("padding", "");
  const bool explicit_padding = padding == StringView("EXPLICIT");
  if (strides.size() != 4 || (!dilations.empty() && dilations.size() != 4) ||
      (explicit_padding && paddings.size() != 8) ||
      !(attrs.String("data_format", "NHWC") == StringView("NHWC"))) {
    return context.Fail(Code::kCorrupt, "strides, dilations or paddings are not those of an NHWC image");
  }
  WindowAxis* const axes[2] = {&window->h, &window->w};
  for (int i = 0; i < 2; ++i) {
    const size_t dim = static_cast<size_t>(1 + i);
    axes[i]->in = out.dim(1 + i);
    axes[i]->filter = filter.dim(i);
    axes[i]->stride = strides[dim];
    axes[i]->dilation = dilations.empty() ? 1 : dilations[dim];
    if (explicit_padding) {
      axes[i]->before = paddings[2 * dim];
      axes[i]->after = paddings[2 * dim + 1];
    }
    if (!PlanAxis(padding, axes[i]) || axes[i]->out != image.dim(1 + i)) {
      return context.Fail(Code::kCorrupt, "padding, strides, dilations and filter do not lead from the output to the image");
    }
  }
  if (image.dim(0) != out.dim(0)) return context.Fail(Code::kCorrupt, "image and output differ in batch size");
  return Status::Ok();
}

Status PrepareTransposed(PrepareContext& context, WeightFormat format) {
  TransposedParams& params = context.params<TransposedParams>();
  params = TransposedParams();
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 2, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(1, 4));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kF32));
  const Tensor& filter = context.input(1);
  WHERRY_RETURN_IF_ERROR(PlanTransposed(context, filter, &params.window));
  const int64_t outputs = filter.dim(2);
  params.depth = filter.dim(3);
  params.columns = filter.dim(0) * filter.dim(1) * outputs;
  if (context.input(2).dim(3) != params.depth || context.output(0).dim(3) != outputs) {
    return context.Fail(Code::kCorrupt, "channels of image, filter and output do not fit");
  }
  WHERRY_RETURN_IF_ERROR(CheckPanels(context, 1, format, params.depth, params.columns));
  WHERRY_RETURN_IF_ERROR(ReadFused(context, 3, outputs, &params.fused));
  const WindowAxis& h = params.window.h;
  const int64_t row_bytes = params.window.w.out * params.columns * static_cast<int64_t>(sizeof(float));
  params.band = std::max<int64_t>(h.in, 1);
  while (params.band > 2 * h.stride && MostRows(h, params.band) * row_bytes > kBandBytes) {
    params.band = (params.band + 1) / 2;
  }
  const uint64_t products_bytes = static_cast<uint64_t>(RoundUp64(MostRows(h, params.band) * row_bytes));
  params.products_bytes = static_cast<size_t>(products_bytes);
  const math::GemmPlan plan =
      math::PlanGemm(MostRows(h, params.band) * params.window.w.out, params.depth, 0, params.columns,
                     format != WeightFormat::kPlain, context.isa(), context.num_threads());
  context.RequestScratch(products_bytes + GemmScratchBytes(plan, context.num_threads()));
  return Status::Ok();
}

math::Scatter ScatterOf(const Window& window, const float* products, int64_t channels,
                        const math::Epilogue& epilogue) {
  math::Scatter scatter;
  scatter.products = products;
  scatter.window = window;
  scatter.channels = channels;
  scatter.epilogue = epilogue;
  return scatter;
}

Status RunTransposed(RunContext& context, math::DequantizePanel dequantize) {
  const TransposedParams& params = context.params<TransposedParams>();
  const Window& window = params.window;
  const Tensor& image = context.input(2);
  const math::PanelMatrix filter = PanelsOf(context.input(1), params.depth, params.columns, dequantize);
  float* products = reinterpret_cast<float*>(context.scratch());
  const int64_t channels = context.output(0).dim(3);
  math::Scatter scatter = ScatterOf(window, products, channels, EpilogueOf(context, params.fused, 3));
  for (int64_t b = 0; b < image.dim(0); ++b) {
    scatter.out = context.output(0).as<float>() + b * window.h.in * window.w.in * channels;
    for (int64_t y = 0; y < window.h.in; y += params.band) {
      const int64_t end = std::min(y + params.band, window.h.in);
      const ImageRows rows = RowsFor(window.h, y, end);
      const math::GemmPlan plan =
          math::PlanGemm(rows.count() * window.w.out, params.depth, 0, params.columns, dequantize != nullptr,
                         context.isa(), context.num_threads());
      const float* pixels = image.as<const float>() + (b * window.h.out + rows.first) * window.w.out * params.depth;
      RunGemm(context, plan, math::RowSource::Matrix(pixels, params.depth), filter, math::Epilogue(), products,
              params.columns, context.scratch() + params.products_bytes);
      scatter.first_row = rows.first;
      context.threads().ForEach(end - y, [&](int64_t i, int) { math::SumScatteredRow(scatter, y + i, context.isa()); });
    }
  }
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(Conv2DBackpropInput_f32_wf32)
WHERRY_PREPARE(Conv2DBackpropInput_f32_wf32) { return PrepareTransposed(context, WeightFormat::kPlain); }
WHERRY_RUN(Conv2DBackpropInput_f32_wf32) { return RunTransposed(context, nullptr); }
#endif

#if WHERRY_SELECTED(Conv2DBackpropInput_f32_wf16)
WHERRY_PREPARE(Conv2DBackpropInput_f32_wf16) { return PrepareTransposed(context, WeightFormat::kFloat16); }
WHERRY_RUN(Conv2DBackpropInput_f32_wf16) { return RunTransposed(context, math::Float16Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(Conv2DBackpropInput_f32_wi8)
WHERRY_PREPARE(Conv2DBackpropInput_f32_wi8) { return PrepareTransposed(context, WeightFormat::kInt8); }
WHERRY_RUN(Conv2DBackpropInput_f32_wi8) { return RunTransposed(context, math::Int8Panels(context.isa())); }
#endif

#if WHERRY_SELECTED(Conv2DBackpropInput_f32_wmm)
WHERRY_PREPARE(Conv2DBackpropInput_f32_wmm) { return PrepareTransposed(context, WeightFormat::kMinMax); }
WHERRY_RUN(Conv2DBackpropInput_f32_wmm) { return RunTransposed(context, math::MinMaxPanels(context.isa())); }
#endif

}  // namespace wherry::kernels
