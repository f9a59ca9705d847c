// ConvChain: convolutions and depthwise convolutions that follow each other, float32, NHWC, computed by strips of rows, so
// that what lies between them stays in the second-level cache and has no place in the arena.
//
// Inputs: image, then for each part its filter in panels and, where `biases` says so, its bias; and if the attribute `adds`
// is not 0, what the last part, a convolution, adds before its activation. Output 0 is the last part's; outputs 1 and up are
// those of the parts before it, in order: they have a shape and no memory.
// Attributes, a list with so many numbers for each part: ops (0 Conv2D, 1 DepthwiseConv2dNative), biases (1), strides (2),
// dilations (2), explicit_paddings (4: top, bottom, left, right), and `activations`: names between commas.
//
// The key with sf32 multiplies convolutions in whole numbers of 16 bits (math/short_gemm.h) where `shorts` says so and the
// CPU does so, with activations in steps of 2^-`fraction_bits`: two more lists with a number for each part.
//
// Each thread takes a range of rows of the output and computes what that reads, which other threads may compute too: the
// rows are the same whoever computes them. A convolution is never grouped here and never goes through Winograd.
#include <cstring>

#include "kernels/nn/conv_2d.h"
#include "kernels/panels.h"
#include "kernels/select.h"
#include "kernels/shorts.h"
#include "math/depthwise.h"
#include "math/strips.h"

namespace wherry::kernels {
namespace {

constexpr int kMostParts = 16;
constexpr int64_t kMostStep = 255;  // of strides, dilations and paddings before
// Rows that a thread keeps: what a second-level cache holds beside weights. Strips are as high as that allows, and the room
// for scratch memory.
constexpr int64_t kKeptBytes = 512 * 1024;
constexpr int64_t kMostStripRows = 8;

enum class PartOp : uint8_t { kConv = 0, kDepthwise = 1 };

struct Part {
  PartOp op;
  math::Activation activation;
  bool has_bias;
  uint8_t filter;  // its input
  uint8_t stride[2];
  uint8_t dilation[2];
  uint8_t before[2];
  int8_t fraction_bits;  // of shorts, or kFloats
};

constexpr int8_t kFloats = 127;

struct ChainParams {
  int num_parts;
  int residual;  // an input, or 0
  int strip_rows;
  size_t worker_bytes;   // scratch of one thread
  size_t weight_bytes;   // of which weights in whole numbers take the first,
  size_t product_bytes;  // and products the next
  Part parts[kMostParts];
};

// A part with all that its loop needs.
struct Link {
  PartOp op;
  Window window;
  int64_t channels;
  int64_t outputs;
  int64_t taps;
  const Tensor* filter;
  math::Epilogue epilogue;
  float step;
  math::ShortWeights shorts;  // where step is not 0

  int64_t in_row() const { return window.w.in * channels; }
  int64_t out_row() const { return window.w.out * outputs; }
  int64_t depth() const { return taps * channels; }
  // The image is its own matrix of patches.
  bool pointwise() const { return taps == 1 && IsPointwise(window) && window.w.in == window.w.out; }
};

// Tensor i of the chain: part i makes i + 1 from i.
const Tensor& TensorOf(const KernelContext& context, int parts, int i) {
  return i == 0 ? context.input(0) : context.output(i == parts ? 0 : i);
}

Link LinkOf(const KernelContext& context, const ChainParams& params, int i) {
  const Part& part = params.parts[i];
  const Tensor& in = TensorOf(context, params.num_parts, i);
  const Tensor& out = TensorOf(context, params.num_parts, i + 1);
  Link link;
  link.op = part.op;
  link.filter = &context.input(part.filter);
  WindowAxis* const axes[2] = {&link.window.h, &link.window.w};
  for (int axis = 0; axis < 2; ++axis) {
    *axes[axis] = {in.dim(1 + axis), out.dim(1 + axis), link.filter->dim(axis), part.stride[axis],
                   part.dilation[axis], part.before[axis], 0};
  }
  link.channels = in.dim(3);
  link.outputs = out.dim(3);
  link.taps = link.filter->dim(0) * link.filter->dim(1);
  link.epilogue.activation = part.activation;
  if (part.has_bias) link.epilogue.bias = context.input(part.filter + 1).as<const float>();
  link.step = part.fraction_bits == kFloats ? 0.0F : StepOf(part.fraction_bits);
  return link;
}

// The names between commas, one after the other.
bool NextName(StringView* names, StringView* name) {
  if (names->data == nullptr) return false;
  const void* comma = std::memchr(names->data, ',', names->size);
  const size_t size = comma == nullptr ? names->size : static_cast<size_t>(static_cast<const char*>(comma) - names->data);
  *name = StringView(names->data, size);
  *names = comma == nullptr ? StringView(nullptr, 0) : StringView(names->data + size + 1, names->size - size - 1);
  return true;
}

// Which parts multiply shorts, and in which steps.
Status ReadSteps(const PrepareContext& context, ChainParams* params) {
  const Span<const int64_t> shorts = context.attrs().Ints("shorts"), bits = context.attrs().Ints("fraction_bits");
  const size_t count = static_cast<size_t>(params->num_parts);
  if (shorts.size() != count || bits.size() != count) {
    return context.Fail(Code::kCorrupt, "shorts and fraction_bits have a number for each part");
  }
  for (size_t i = 0; i < count; ++i) {
    if (shorts[i] == 0) continue;
    if (StepOf(bits[i]) == 0.0F || params->parts[i].op != PartOp::kConv) {
      return context.Fail(Code::kCorrupt, "part %d has no such step", static_cast<int>(i));
    }
    params->parts[i].fraction_bits = static_cast<int8_t>(bits[i]);
  }
  return Status::Ok();
}

// Reads attributes, and finds each part's inputs. after: two numbers for each part.
Status ReadParts(const PrepareContext& context, ChainParams* params, int64_t (*after)[2]) {
  const Attributes& attrs = context.attrs();
  const Span<const int64_t> ops = attrs.Ints("ops"), biases = attrs.Ints("biases"), strides = attrs.Ints("strides"),
                            dilations = attrs.Ints("dilations"), paddings = attrs.Ints("explicit_paddings");
  const size_t count = ops.size();
  if (count < 1 || count > kMostParts || biases.size() != count || strides.size() != 2 * count ||
      dilations.size() != 2 * count || paddings.size() != 4 * count) {
    return context.Fail(Code::kCorrupt, "a chain has from 1 to %d parts, and all attributes for each", kMostParts);
  }
  params->num_parts = static_cast<int>(count);
  StringView names = attrs.String("activations", "");
  int inputs = 1;
  for (size_t i = 0; i < count; ++i) {
    Part& part = params->parts[i];
    StringView name;
    if (!NextName(&names, &name) || !FindActivation(name, &part.activation) ||
        part.activation == math::Activation::kLeakyRelu) {
      return context.Fail(Code::kCorrupt, "the activation of part %d is unknown", static_cast<int>(i));
    }
    if (ops[i] < 0 || ops[i] > 1) return context.Fail(Code::kCorrupt, "part %d is unknown", static_cast<int>(i));
    part.op = static_cast<PartOp>(ops[i]);
    part.has_bias = biases[i] != 0;
    part.fraction_bits = kFloats;
    part.filter = static_cast<uint8_t>(inputs);
    inputs += part.has_bias ? 2 : 1;
    for (size_t axis = 0; axis < 2; ++axis) {
      const int64_t stride = strides[2 * i + axis], dilation = dilations[2 * i + axis];
      const int64_t before = paddings[4 * i + 2 * axis];
      if (stride < 1 || stride > kMostStep || dilation < 1 || dilation > kMostStep || before < 0 || before > kMostStep) {
        return context.Fail(Code::kCorrupt, "part %d has too large steps", static_cast<int>(i));
      }
      part.stride[axis] = static_cast<uint8_t>(stride);
      part.dilation[axis] = static_cast<uint8_t>(dilation);
      part.before[axis] = static_cast<uint8_t>(before);
      after[i][axis] = paddings[4 * i + 2 * axis + 1];
    }
  }
  if (attrs.Int("adds", 0) != 0) {
    if (params->parts[count - 1].op != PartOp::kConv) return context.Fail(Code::kCorrupt, "only a convolution adds");
    params->residual = inputs++;
  }
  return context.ExpectCounts(inputs, params->num_parts);
}

Status CheckPart(const PrepareContext& context, const ChainParams& params, int i, const int64_t after[2]) {
  const Part& part = params.parts[i];
  const Tensor& in = TensorOf(context, params.num_parts, i);
  const Tensor& out = TensorOf(context, params.num_parts, i + 1);
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(part.filter, 4));
  Link link = LinkOf(context, params, i);
  WindowAxis* const axes[2] = {&link.window.h, &link.window.w};
  for (int axis = 0; axis < 2; ++axis) {
    axes[axis]->after = after[axis];
    if (!PlanAxis("EXPLICIT", axes[axis]) || axes[axis]->out != out.dim(1 + axis)) {
      return context.Fail(Code::kCorrupt, "part %d does not fit its input and output", i);
    }
  }
  const int64_t depth = link.filter->dim(2);
  const int64_t columns = link.filter->dim(3);
  const bool depthwise = part.op == PartOp::kDepthwise;
  if (in.dim(0) != out.dim(0) || depth != link.channels || columns < 0 ||
      (depthwise ? depth > kWindowLimit || columns > kWindowLimit || depth * columns != link.outputs
                 : columns != link.outputs)) {
    return context.Fail(Code::kCorrupt, "batch or channels of part %d do not fit", i);
  }
  WHERRY_RETURN_IF_ERROR(CheckPanels(context, part.filter, WeightFormat::kPlain,
                                     depthwise ? link.taps : link.taps * depth, link.outputs));
  return part.has_bias ? ExpectBias(context, part.filter + 1, link.outputs) : Status::Ok();
}

// The most rows of each tensor that strips of so many rows keep, and their bytes. Number 0 is the image, which is there.
int64_t MostKept(const Link* links, int count, int64_t strip_rows, int64_t* rows) {
  int64_t bytes = 0;
  int64_t out = strip_rows;
  for (int i = count - 1; i > 0; --i) {
    rows[i] = out = math::MostRowsRead(links[i].window.h, out);
    bytes += out * links[i].in_row() * static_cast<int64_t>(sizeof(float));
  }
  return bytes;
}

// Ranges of rows of an image that threads share, at least one.
int64_t NumRanges(int64_t batch, int64_t rows, int threads) {
  return std::max<int64_t>(1, std::min(rows, (threads + batch - 1) / std::max<int64_t>(batch, 1)));
}

// Strips of a range that are as many, but of one height: the last one is no lower, and the others keep fewer rows.
int64_t EvenStrip(int64_t range, int64_t strip) {
  const int64_t count = (range + strip - 1) / strip;
  return count > 0 ? (range + count - 1) / count : strip;
}

// The patches that a convolution's input is, but for its memory.
math::Patches PatchesOf(const Link& link) {
  math::Patches patches;
  patches.window = link.window;
  patches.pixel = patches.channels = link.channels;
  return patches;
}

math::ShortGemmPlan PlanShortPart(const Link& link, int64_t m, Isa isa) {
  const math::Patches patches = PatchesOf(link);
  return math::PlanShortGemm(m, link.depth(), link.outputs, isa, 1, link.pointwise() ? nullptr : &patches);
}

// Of a part's weights in whole numbers.
size_t WeightBytes(const Link& link, Isa isa) {
  return (math::ShortWeightBytes(PlanShortPart(link, 1, isa)) + 63) / 64 * 64;
}

// Cuts a thread's share into strips of so many rows.
template <bool kShorts>
void CutStrips(const Link* links, int64_t strip, Isa isa, ChainParams* params) {
  int64_t rows[kMostParts + 1] = {};
  const int64_t kept = MostKept(links, params->num_parts, strip, rows);
  rows[params->num_parts] = strip;
  params->strip_rows = static_cast<int>(strip);
  params->product_bytes = 0;
  for (int i = 0; i < params->num_parts; ++i) {
    const Link& link = links[i];
    if (link.op != PartOp::kConv) continue;
    const int64_t m = rows[i + 1] * link.window.w.out;
    size_t bytes;
    if (kShorts && link.step != 0.0F) {
      bytes = PlanShortPart(link, m, isa).scratch_bytes;
    } else {
      bytes = math::PlanGemm(m, link.depth(), 0, link.outputs, false, isa, 1).scratch_bytes;
    }
    params->product_bytes = std::max(params->product_bytes, bytes);
  }
  params->product_bytes = (params->product_bytes + 63) / 64 * 64;
  params->worker_bytes =
      params->weight_bytes + params->product_bytes + (static_cast<size_t>(kept) + 63 * kMostParts) / 64 * 64;
}

// Takes steps away where products stay those of floats, and finds the memory for weights of the others.
void PlanShorts(Link* links, Isa isa, ChainParams* params) {
  for (int i = 0; i < params->num_parts; ++i) {
    if (!math::MultipliesShorts(isa, links[i].depth(), links[i].outputs)) {
      params->parts[i].fraction_bits = kFloats;
      links[i].step = 0.0F;
    }
    if (links[i].step != 0.0F) params->weight_bytes += WeightBytes(links[i], isa);
  }
}

template <bool kShorts>
Status PrepareChain(PrepareContext& context) {
  ChainParams& params = context.params<ChainParams>();
  params = ChainParams();
  context.AllowUnusedOutputs();
  int64_t after[kMostParts][2];
  WHERRY_RETURN_IF_ERROR(ReadParts(context, &params, after));
  if constexpr (kShorts) WHERRY_RETURN_IF_ERROR(ReadSteps(context, &params));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(0, 4));
  for (int i = 0; i < params.num_parts; ++i) {
    WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, i, DType::kF32));
    if (context.output(i).rank != 4) return context.Fail(Code::kCorrupt, "output %d does not have rank 4", i);
  }
  if (params.residual != 0) {
    WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, params.residual, DType::kF32));
    if (!context.input(params.residual).SameShape(context.output(0))) {
      return context.Fail(Code::kCorrupt, "what is added does not have the output's shape");
    }
  }
  Link links[kMostParts];
  for (int i = 0; i < params.num_parts; ++i) {
    WHERRY_RETURN_IF_ERROR(CheckPart(context, params, i, after[i]));
    links[i] = LinkOf(context, params, i);
  }
  if constexpr (kShorts) PlanShorts(links, context.isa(), &params);
  int64_t rows[kMostParts + 1] = {};
  int64_t strip = std::min(kMostStripRows, std::max<int64_t>(1, links[params.num_parts - 1].window.h.out));
  while (strip > 1 && MostKept(links, params.num_parts, strip, rows) > kKeptBytes) strip = (strip + 1) / 2;
  const int64_t out_rows = context.output(0).dim(1);
  const int64_t ranges = NumRanges(context.output(0).dim(0), out_rows, context.num_threads());
  const int64_t range = (out_rows + ranges - 1) / ranges;
  const auto threads = static_cast<uint64_t>(context.num_threads());
  for (strip = EvenStrip(range, strip);; strip = EvenStrip(range, strip - 1)) {
    CutStrips<kShorts>(links, strip, context.isa(), &params);
    if (strip <= 1 || params.worker_bytes * threads <= context.scratch_limit()) break;
  }
  context.RequestScratch(params.worker_bytes * threads);
  return Status::Ok();
}

// Rows of a tensor in memory: `data` is where row rows.begin starts.
struct HeldRows {
  const float* data;
  math::Rows rows;
};

// Output rows `out` of a part, one image.
template <bool kShorts>
void RunPart(const Link& link, const HeldRows& in, math::Rows out, float* to, Isa isa, std::byte* scratch) {
  if (out.size() <= 0) return;
  // The same window over an image that begins at the first row held and an output that begins at the first row wanted.
  // Rows before and behind those held are padding, or nobody reads them.
  Window window = link.window;
  window.h.in = in.rows.size();
  window.h.out = out.size();
  window.h.before = link.window.h.before + in.rows.begin - out.begin * link.window.h.stride;
  if (link.op == PartOp::kDepthwise) {
    math::Depthwise conv;
    conv.image = in.data;
    conv.filter = link.filter->as<const float>();
    conv.bias = link.epilogue.bias;
    conv.out = to;
    conv.window = window;
    conv.channels = link.channels;
    conv.multiplier = link.filter->dim(3);
    conv.activation = link.epilogue.activation;
    math::RunDepthwise(conv, 0, out.size(), isa);
    return;
  }
  const int64_t depth = link.depth();
  math::Patches patches = PatchesOf(link);
  patches.image = in.data;
  patches.window = window;
  const bool pointwise = link.pointwise();
  const float* const matrix = pointwise ? in.data + (out.begin - in.rows.begin) * link.in_row() : nullptr;
  const int64_t m = out.size() * window.w.out;
  if constexpr (kShorts) {
    if (link.step != 0.0F) {
      const math::ShortRows rows = {matrix, pointwise ? link.channels : 0, pointwise ? nullptr : &patches};
      const math::ShortGemmPlan plan = PlanShortPart(link, m, isa);
      for (int64_t task = 0; task < plan.tasks(); ++task) {
        math::RunShortGemmTask(plan, rows, link.step, link.shorts, link.epilogue, to, link.outputs, task, scratch);
      }
      return;
    }
  }
  const math::RowSource rows = pointwise ? math::RowSource::Matrix(matrix, link.channels)
                                         : math::RowSource::Made(math::PatchCopier(isa), &patches);
  const math::GemmPlan plan = math::PlanGemm(m, depth, 0, link.outputs, false, isa, 1);
  const math::PanelMatrix filter = PanelsOf(*link.filter, depth, link.outputs, nullptr);
  for (int64_t task = 0; task < plan.tasks(); ++task) {
    math::RunGemmTask(plan, rows, filter, link.epilogue, to, link.outputs, task, scratch);
  }
}

// Rows `range` of the last tensor of one image. residual: what is added to it, or null.
template <bool kShorts>
void RunRange(Link* links, const ChainParams& params, const float* image, const float* residual, float* out,
              math::Rows range, Isa isa, std::byte* scratch) {
  const int count = params.num_parts;
  math::WindowAxis axes[kMostParts];
  int64_t most[kMostParts + 1] = {};
  for (int i = 0; i < count; ++i) axes[i] = links[i].window.h;
  MostKept(links, count, params.strip_rows, most);
  float* buffers[kMostParts];
  if constexpr (kShorts) {
    std::byte* weights = scratch;
    for (Link* link = links; link < links + count; ++link) {
      if (link->step == 0.0F) continue;
      const math::PanelMatrix filter = PanelsOf(*link->filter, link->depth(), link->outputs, nullptr);
      link->shorts =
          math::MakeShortWeights(PlanShortPart(*link, 1, isa), filter, link->epilogue.bias, link->step, weights);
      weights += WeightBytes(*link, isa);
    }
    scratch += params.weight_bytes;
  }
  std::byte* next = scratch + params.product_bytes;
  for (int i = 1; i < count; ++i) {
    buffers[i] = reinterpret_cast<float*>(next);
    const size_t bytes = static_cast<size_t>(most[i] * links[i].in_row()) * sizeof(float);
    next += (bytes + 63) / 64 * 64;
  }
  math::KeptRows tensors[kMostParts];
  for (int64_t y = range.begin; y < range.end; y += params.strip_rows) {
    const math::Rows strip = {y, std::min<int64_t>(range.end, y + params.strip_rows)};
    math::PlanStrip(axes, count, strip, y == range.begin, tensors);
    for (int i = 0; i < count; ++i) {
      const HeldRows in = i == 0 ? HeldRows{image, {0, axes[0].in}}
                                 : HeldRows{buffers[i], {tensors[i].kept.begin, tensors[i].fresh.end}};
      const bool last = i + 1 == count;
      const math::Rows wanted = last ? strip : tensors[i + 1].fresh;
      float* to = out + strip.begin * links[i].out_row();
      if (last && residual != nullptr) {
        links[i].epilogue.residual = residual + strip.begin * links[i].out_row();
      } else if (!last) {
        const math::KeptRows& made = tensors[i + 1];
        const int64_t row = links[i].out_row();
        to = buffers[i + 1];
        if (made.drop > 0) std::memmove(to, to + made.drop * row, static_cast<size_t>(made.kept.size() * row) * sizeof(float));
        to += made.kept.size() * row;
      }
      RunPart<kShorts>(links[i], in, wanted, to, isa, scratch);
    }
  }
}

template <bool kShorts>
Status RunChain(RunContext& context) {
  const ChainParams& params = context.params<ChainParams>();
  const Tensor& image = context.input(0);
  const Tensor& result = context.output(0);
  if (result.data == nullptr || result.count() == 0) return Status::Ok();
  const int64_t row_floats = LinkOf(context, params, 0).in_row();
  const int64_t out_floats = LinkOf(context, params, params.num_parts - 1).out_row();
  const int64_t batch = image.dim(0);
  const int64_t rows = result.dim(1);
  const int64_t ranges = NumRanges(batch, rows, context.num_threads());
  context.threads().ForEach(batch * ranges, [&](int64_t task, int worker) {
    const int64_t b = task / ranges;
    const int64_t part = task % ranges;
    Link links[kMostParts];
    for (int i = 0; i < params.num_parts; ++i) links[i] = LinkOf(context, params, i);
    const float* const residual =
        params.residual == 0 ? nullptr : context.input(params.residual).as<const float>() + b * rows * out_floats;
    RunRange<kShorts>(links, params, image.as<const float>() + b * image.dim(1) * row_floats, residual,
                      result.as<float>() + b * rows * out_floats, {rows * part / ranges, rows * (part + 1) / ranges},
                      context.isa(), context.scratch() + params.worker_bytes * static_cast<size_t>(worker));
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(ConvChain_f32_sf32)
WHERRY_PREPARE(ConvChain_f32_sf32) { return PrepareChain<true>(context); }
WHERRY_RUN(ConvChain_f32_sf32) { return RunChain<true>(context); }
#endif

#if WHERRY_SELECTED(ConvChain_f32_wf32)
WHERRY_PREPARE(ConvChain_f32_wf32) { return PrepareChain<false>(context); }
WHERRY_RUN(ConvChain_f32_wf32) { return RunChain<false>(context); }
#endif

}  // namespace wherry::kernels
