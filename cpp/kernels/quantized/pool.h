// What pooling of 8-bit codes shares: the checks, and the walk over windows. NHWC.
#ifndef WHERRY_KERNELS_QUANTIZED_POOL_H_
#define WHERRY_KERNELS_QUANTIZED_POOL_H_

#include "kernels/nn/pool.h"
#include "kernels/quantized/scales.h"
#include "math/code_pool.h"

namespace wherry::kernels {

// finish(window, out) writes the result of one window's channels.
template <typename Finish>
void ForWindows(RunContext& context, const PoolParams& p, const Finish& finish) {
  const uint8_t* in = context.input(0).as<const uint8_t>();
  uint8_t* out = context.output(0).as<uint8_t>();
  const int64_t row_step = p.window.w.in * p.channels;
  const int64_t image = p.window.h.in * row_step;
  const int64_t work = p.window.w.out * p.channels * p.window.h.filter * p.window.w.filter;
  context.threads().ForRange(p.batch * p.window.h.out, 1 + kCodeGrain / (work + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t y = begin; y < end; ++y) {
      const PoolRange rows = InputsOf(p.window.h, y % p.window.h.out);
      const uint8_t* const first = in + y / p.window.h.out * image + rows.begin * row_step;
      uint8_t* to = out + y * p.window.w.out * p.channels;
      for (int64_t x = 0; x < p.window.w.out; ++x, to += p.channels) {
        const PoolRange columns = InputsOf(p.window.w, x);
        finish(math::CodeWindow{first + columns.begin * p.channels, rows.end - rows.begin,
                                columns.end - columns.begin, row_step, p.channels, p.channels},
               to);
      }
    }
  });
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_QUANTIZED_POOL_H_
