#include "math/pool.h"

#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/pool.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using FloatTag = hn::CappedTag<float, 16>;
using FloatVector = hn::Vec<FloatTag>;
inline constexpr int64_t kFloatLanes = static_cast<int64_t>(hn::MaxLanes(FloatTag()));
inline constexpr int kBlock = 4;  // vectors of channels that go through a window together

// A way to pool: kStart changes nothing, Take adds an element, Finish makes the result of `count` of them.
struct LargestOf {
  static constexpr float kStart = std::numeric_limits<float>::lowest();
  static HWY_INLINE FloatVector Take(FloatVector best, FloatVector x) {
#if HWY_ARCH_X86
    return hn::Max(x, best);  // one instruction, which gives the second operand unless the first is larger
#else
    return hn::IfThenElse(hn::Gt(x, best), x, best);
#endif
  }
  static HWY_INLINE FloatVector Finish(FloatVector best, int64_t) { return best; }
};

struct MeanOf {
  static constexpr float kStart = -0.0F;
  static HWY_INLINE FloatVector Take(FloatVector sum, FloatVector x) { return hn::Add(sum, x); }
  static HWY_INLINE FloatVector Finish(FloatVector sum, int64_t count) {
    return hn::Div(sum, hn::Set(FloatTag(), static_cast<float>(count)));
  }
};

// kVectors vectors of channels from c on; the last has `rest` channels, or all of them where rest is 0.
template <class Pooling, int kVectors>
HWY_INLINE void PoolChannels(const FloatWindow& window, int64_t c, size_t rest, float* out) {
  const FloatTag d;
  FloatVector state[kVectors];
  for (auto& part : state) part = hn::Set(d, Pooling::kStart);
  for (int64_t y = 0; y < window.rows; ++y) {
    const float* pixel = window.pixels + y * window.row_step + c;
    for (int64_t x = 0; x < window.columns; ++x, pixel += window.pixel_step) {
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) {
        const float* from = pixel + v * kFloatLanes;
        state[v] = Pooling::Take(state[v], rest == 0 ? hn::LoadU(d, from) : hn::LoadN(d, from, rest));
      }
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    const FloatVector result = Pooling::Finish(state[v], window.rows * window.columns);
    float* to = out + c + v * kFloatLanes;
    if (rest == 0) {
      hn::StoreU(result, d, to);
    } else {
      hn::StoreN(result, d, to, rest);
    }
  }
}

template <class Pooling>
void Pool(const FloatWindow& window, float* out) {
  int64_t c = 0;
  for (; c + kBlock * kFloatLanes <= window.channels; c += kBlock * kFloatLanes) {
    PoolChannels<Pooling, kBlock>(window, c, 0, out);
  }
  for (; c + kFloatLanes <= window.channels; c += kFloatLanes) PoolChannels<Pooling, 1>(window, c, 0, out);
  if (c < window.channels) PoolChannels<Pooling, 1>(window, c, static_cast<size_t>(window.channels - c), out);
}

void PoolLargest(const FloatWindow& window, float* out) { Pool<LargestOf>(window, out); }

void PoolMean(const FloatWindow& window, float* out) { Pool<MeanOf>(window, out); }

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

FloatPooling LargestOfWindow(Isa isa) { return WHERRY_SELECT(isa, PoolLargest); }

FloatPooling MeanOfWindow(Isa isa) { return WHERRY_SELECT(isa, PoolMean); }

}  // namespace wherry::math
#endif  // HWY_ONCE
