// The sliding window of convolutions and pooling: reads TensorFlow's strides, dilations and padding attributes,
// and works out and checks the geometry, so that no window kernel repeats it. NHWC only.
#ifndef WHERRY_KERNELS_NN_WINDOW_H_
#define WHERRY_KERNELS_NN_WINDOW_H_

#include <cstdint>

#include "math/window.h"
#include "runtime/kernel.h"

namespace wherry::kernels {

using math::Window;
using math::WindowAxis;

inline constexpr int64_t kWindowLimit = int64_t{1} << 30;  // sizes, strides and paddings stay below: no overflow

// TensorFlow's rules for the output size and for what SAME puts in front. axis->in, filter, stride and dilation are
// given; for EXPLICIT also before and after. False when a number is out of range or the window does not fit.
inline bool PlanAxis(StringView padding, WindowAxis* axis) {
  const auto in_range = [](int64_t value, int64_t least) { return value >= least && value < kWindowLimit; };
  if (!in_range(axis->in, 0) || !in_range(axis->filter, 1) || !in_range(axis->stride, 1) ||
      !in_range(axis->dilation, 1)) {
    return false;
  }
  const int64_t extent = (axis->filter - 1) * axis->dilation + 1;
  if (padding == StringView("SAME")) {
    axis->out = (axis->in + axis->stride - 1) / axis->stride;
    int64_t needed = (axis->out - 1) * axis->stride + extent - axis->in;
    if (needed < 0) needed = 0;
    axis->before = needed / 2;
    axis->after = needed - axis->before;
    return true;
  }
  if (padding == StringView("VALID")) {
    axis->before = 0;
    axis->after = 0;
  } else if (!(padding == StringView("EXPLICIT")) || !in_range(axis->before, 0) || !in_range(axis->after, 0)) {
    return false;
  }
  const int64_t room = axis->in + axis->before + axis->after - extent + axis->stride;
  if (room < 0) return false;
  axis->out = room / axis->stride;
  return true;
}

// Geometry of a step with a [batch, height, width, channels] input 0 and output 0 and a filter of the given size.
// Checks ranks, batch, height and width of the output; channels are the caller's.
inline Status PlanWindow(const PrepareContext& context, int64_t filter_h, int64_t filter_w, Window* window) {
  const Tensor& in = context.input(0);
  const Tensor& out = context.output(0);
  if (in.rank != 4 || out.rank != 4) return context.Fail(Code::kCorrupt, "input and output must have rank 4");
  const Attributes& attrs = context.attrs();
  if (!(attrs.String("data_format", "NHWC") == StringView("NHWC"))) {
    return context.Fail(Code::kCorrupt, "data_format must be NHWC");
  }
  const Span<const int64_t> strides = attrs.Ints("strides");
  if (strides.size() != 4 || strides[0] != 1 || strides[3] != 1) {
    return context.Fail(Code::kCorrupt, "strides must be [1, h, w, 1]");
  }
  const Span<const int64_t> dilations = attrs.Ints("dilations");
  if (!dilations.empty() && (dilations.size() != 4 || dilations[0] != 1 || dilations[3] != 1)) {
    return context.Fail(Code::kCorrupt, "dilations must be [1, h, w, 1]");
  }
  const StringView padding = attrs.String("padding", "");
  WindowAxis* const axes[2] = {&window->h, &window->w};
  const int64_t filter[2] = {filter_h, filter_w};
  for (int i = 0; i < 2; ++i) {
    axes[i]->in = in.dim(1 + i);
    axes[i]->filter = filter[i];
    axes[i]->stride = strides[static_cast<size_t>(1 + i)];
    axes[i]->dilation = dilations.empty() ? 1 : dilations[static_cast<size_t>(1 + i)];
  }
  if (padding == StringView("EXPLICIT")) {
    const Span<const int64_t> paddings = attrs.Ints("explicit_paddings");
    if (paddings.size() != 8 || paddings[0] != 0 || paddings[1] != 0 || paddings[6] != 0 || paddings[7] != 0) {
      return context.Fail(Code::kCorrupt, "explicit_paddings must be [0, 0, top, bottom, left, right, 0, 0]");
    }
    for (size_t i = 0; i < 2; ++i) {
      axes[i]->before = paddings[2 + 2 * i];
      axes[i]->after = paddings[3 + 2 * i];
    }
  }
  if (!PlanAxis(padding, &window->h) || !PlanAxis(padding, &window->w)) {
    return context.Fail(Code::kCorrupt, "padding, strides, dilations and window do not fit the input");
  }
  if (in.dim(0) < 0 || out.dim(0) != in.dim(0) || out.dim(1) != window->h.out || out.dim(2) != window->w.out) {
    return context.Fail(Code::kCorrupt, "output must be %lld x %lld with the input's batch size",
                        static_cast<long long>(window->h.out), static_cast<long long>(window->w.out));
  }
  return Status::Ok();
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_NN_WINDOW_H_
