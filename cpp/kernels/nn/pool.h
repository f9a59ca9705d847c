// What max and average pooling share: the checks, and the walk over windows. NHWC, float32.
#ifndef WHERRY_KERNELS_NN_POOL_H_
#define WHERRY_KERNELS_NN_POOL_H_

#include "kernels/nn/window.h"
#include "kernels/select.h"
#include "kernels/shape.h"

namespace wherry::kernels {

struct PoolParams {
  Window window;
  int64_t batch = 0;
  int64_t channels = 0;
};

inline Status PreparePool(PrepareContext& context, DType type = DType::kF32) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(1, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, type));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, type));
  const Span<const int64_t> ksize = context.attrs().Ints("ksize");
  if (ksize.size() != 4 || ksize[0] != 1 || ksize[3] != 1) {
    return context.Fail(Code::kCorrupt, "ksize must be [1, h, w, 1]");
  }
  PoolParams params;
  WHERRY_RETURN_IF_ERROR(PlanWindow(context, ksize[1], ksize[2], &params.window));
  const WindowAxis* const axes[] = {&params.window.h, &params.window.w};
  for (const WindowAxis* axis : axes) {
    if (axis->dilation != 1) return context.Fail(Code::kCorrupt, "pooling has no dilations");
    if (axis->before >= axis->filter || axis->after >= axis->filter) {
      return context.Fail(Code::kCorrupt, "padding must be smaller than the window");
    }
  }
  params.batch = context.input(0).dim(0);
  params.channels = context.input(0).dim(3);
  if (context.output(0).dim(3) != params.channels) {
    return context.Fail(Code::kCorrupt, "output and input differ in channels");
  }
  context.params<PoolParams>() = params;
  return Status::Ok();
}

struct PoolRange {
  int64_t begin;
  int64_t end;
};

// The inputs that output `o` sees, padding left out. Not empty, as padding is smaller than the window.
inline PoolRange InputsOf(const WindowAxis& axis, int64_t o) {
  const int64_t start = o * axis.stride - axis.before;
  const int64_t stop = start + axis.filter;
  return {start < 0 ? 0 : start, stop > axis.in ? axis.in : stop};
}

// One output row [out_w, channels] from one image [in_h, in_w, channels]. first(out, in, n) begins a window with
// its first element, next(out, in, n) takes in another, last(out, count, n) ends it; all work on n channels.
template <typename Pooling>
void PoolRow(const PoolParams& p, const float* image, int64_t oy, float* out) {
  const int64_t n = p.channels;
  const PoolRange rows = InputsOf(p.window.h, oy);
  for (int64_t ox = 0; ox < p.window.w.out; ++ox, out += n) {
    const PoolRange columns = InputsOf(p.window.w, ox);
    for (int64_t y = rows.begin; y < rows.end; ++y) {
      const float* in = image + (y * p.window.w.in + columns.begin) * n;
      int64_t x = columns.begin;
      if (y == rows.begin) {
        Pooling::First(out, in, n);
        ++x;
        in += n;
      }
      for (; x < columns.end; ++x, in += n) Pooling::Next(out, in, n);
    }
    Pooling::Last(out, (rows.end - rows.begin) * (columns.end - columns.begin), n);
  }
}

// Elements that windows take in and that are worth a thread of their own.
inline constexpr double kPoolGrain = 32768;

template <typename Pooling>
Status RunPool(RunContext& context) {
  const PoolParams& p = context.params<PoolParams>();
  const float* in = context.input(0).as<const float>();
  float* out = context.output(0).as<float>();
  const int64_t in_image = p.window.h.in * p.window.w.in * p.channels;
  const int64_t out_row = p.window.w.out * p.channels;
  if (out_row == 0) return Status::Ok();
  const double row_cost = static_cast<double>(out_row) * static_cast<double>(p.window.h.filter * p.window.w.filter);
  const int64_t grain = 1 + static_cast<int64_t>(kPoolGrain / row_cost);
  context.threads().ForRange(p.batch * p.window.h.out, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      PoolRow<Pooling>(p, in + row / p.window.h.out * in_image, row % p.window.h.out, out + row * out_row);
    }
  });
  return Status::Ok();
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_NN_POOL_H_
