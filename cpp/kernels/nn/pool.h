// What max and average pooling share: the checks, and the walk over windows. NHWC, of floats or 8-bit codes.
#ifndef WHERRY_KERNELS_NN_POOL_H_
#define WHERRY_KERNELS_NN_POOL_H_

#include "kernels/nn/window.h"
#include "kernels/select.h"
#include "kernels/shape.h"
#include "math/pool_window.h"

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
  context.AllowPitch(1, 1);
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

// Elements that windows take in and that are worth a thread of their own.
inline constexpr int64_t kPoolGrain = 32768;

// finish(window, out) writes the result of one window's channels.
template <typename T, typename Finish>
void ForWindows(RunContext& context, const PoolParams& p, int64_t grain, const Finish& finish) {
  const T* in = context.input(0).as<const T>();
  T* out = context.output(0).as<T>();
  const int64_t pixel = context.input(0).pitch, out_pixel = context.output(0).pitch;
  const int64_t row_step = p.window.w.in * pixel;
  const int64_t image = p.window.h.in * row_step;
  const double work = static_cast<double>(p.window.w.out * p.channels) *
                      static_cast<double>(p.window.h.filter * p.window.w.filter);
  const int64_t rows_worth_a_thread = 1 + static_cast<int64_t>(static_cast<double>(grain) / (work + 1));
  context.threads().ForRange(p.batch * p.window.h.out, rows_worth_a_thread, [&](int64_t begin, int64_t end, int) {
    for (int64_t y = begin; y < end; ++y) {
      const PoolRange rows = InputsOf(p.window.h, y % p.window.h.out);
      const T* const first = in + y / p.window.h.out * image + rows.begin * row_step;
      T* to = out + y * p.window.w.out * out_pixel;
      for (int64_t x = 0; x < p.window.w.out; ++x, to += out_pixel) {
        const PoolRange columns = InputsOf(p.window.w, x);
        finish(math::PoolWindow<T>{first + columns.begin * pixel, rows.end - rows.begin,
                                   columns.end - columns.begin, row_step, pixel, p.channels},
               to);
      }
    }
  });
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_NN_POOL_H_
