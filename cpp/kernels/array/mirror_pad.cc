// MirrorPad: a border that mirrors the input, without its edge (REFLECT) or with it (SYMMETRIC); attribute mode.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

struct MirrorParams {
  int64_t before[kMaxRank];
  int32_t edge;  // 1: the edge itself is not repeated
};

Status PrepareMirrorPad(PrepareContext& context, size_t width) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 0, 0, width));
  const Tensor& input = context.input(0);
  const Tensor& output = context.output(0);
  const StringView mode = context.attrs().String("mode", "");
  const bool reflect = mode == StringView("REFLECT");
  if (!reflect && !(mode == StringView("SYMMETRIC"))) {
    return context.Fail(Code::kCorrupt, "mode is neither REFLECT nor SYMMETRIC");
  }
  int64_t paddings[2 * kMaxRank];
  size_t count = 0;
  WHERRY_RETURN_IF_ERROR(context.ReadInts(1, paddings, 2 * kMaxRank, &count));
  if (count != 2 * static_cast<size_t>(input.rank) || output.rank != input.rank) {
    return context.Fail(Code::kCorrupt, "paddings or output has not one entry per dimension");
  }
  MirrorParams& params = context.params<MirrorParams>();
  params.edge = reflect ? 1 : 0;
  for (int d = 0; d < input.rank; ++d) {
    const int64_t before = paddings[2 * d];
    const int64_t after = paddings[2 * d + 1];
    const int64_t most = input.dim(d) - params.edge;
    if (before < 0 || after < 0 || before > most || after > most ||
        output.dim(d) - input.dim(d) != before + after) {
      return context.Fail(Code::kCorrupt, "the paddings of dimension %d do not fit", d);
    }
    params.before[d] = before;
  }
  return Status::Ok();
}

// Where index i of the padded dimension comes from.
int64_t Mirror(int64_t i, int64_t before, int64_t dim, int64_t edge) {
  const int64_t k = i - before;
  if (k < 0) return -k - 1 + edge;
  return k < dim ? k : 2 * dim - 1 - edge - k;
}

template <typename T>
Status RunMirrorPad(RunContext& context) {
  const MirrorParams& params = context.params<MirrorParams>();
  const Tensor& input = context.input(0);
  const Tensor& output = context.output(0);
  if (output.count() == 0) return Status::Ok();
  const int last = output.rank - 1;
  if (last < 0) {
    *output.as<T>() = *input.as<const T>();
    return Status::Ok();
  }
  const int64_t length = output.dim(last);
  const int64_t dim = input.dim(last);
  const int64_t before = params.before[last];
  const int64_t grain = 1 + kCopyGrainBytes / (length * static_cast<int64_t>(sizeof(T)));
  context.threads().ForRange(output.count() / length, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t rest = row;
      int64_t offset = 0;
      int64_t stride = dim;
      for (int d = last - 1; d >= 0; --d) {
        offset += Mirror(rest % output.dim(d), params.before[d], input.dim(d), params.edge) * stride;
        rest /= output.dim(d);
        stride *= input.dim(d);
      }
      const T* in = input.as<const T>() + offset;
      T* out = output.as<T>() + row * length;
      for (int64_t i = 0; i < before; ++i) out[i] = in[Mirror(i, before, dim, params.edge)];
      std::memcpy(out + before, in, static_cast<size_t>(dim) * sizeof(T));
      for (int64_t i = before + dim; i < length; ++i) out[i] = in[Mirror(i, before, dim, params.edge)];
    }
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(MirrorPad_x8)
WHERRY_PREPARE(MirrorPad_x8) { return PrepareMirrorPad(context, 1); }
WHERRY_RUN(MirrorPad_x8) { return RunMirrorPad<uint8_t>(context); }
#endif

#if WHERRY_SELECTED(MirrorPad_x32)
WHERRY_PREPARE(MirrorPad_x32) { return PrepareMirrorPad(context, 4); }
WHERRY_RUN(MirrorPad_x32) { return RunMirrorPad<uint32_t>(context); }
#endif

#if WHERRY_SELECTED(MirrorPad_x64)
WHERRY_PREPARE(MirrorPad_x64) { return PrepareMirrorPad(context, 8); }
WHERRY_RUN(MirrorPad_x64) { return RunMirrorPad<uint64_t>(context); }
#endif

}  // namespace wherry::kernels
