#include "math/resize.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/resize.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/copy-inl.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using FloatTag = hn::CappedTag<float, 16>;
inline constexpr int64_t kFloatLanes = static_cast<int64_t>(hn::MaxLanes(FloatTag()));
using FewTag = hn::CappedTag<float, 4>;  // for what is left of a pixel's channels, when that is less than a vector

template <class D>
HWY_INLINE hn::Vec<D> FloatsOf(D, hn::Vec<D> floats) {
  return floats;
}
template <class D>
HWY_INLINE hn::Vec<D> FloatsOf(D d, hn::Vec<hn::Rebind<uint8_t, D>> bytes) {
  return hn::ConvertTo(d, hn::PromoteTo(hn::Rebind<int32_t, D>(), bytes));
}

template <class V>
HWY_INLINE V Mix(V a, V b, V fraction) {
  return hn::Add(a, hn::Mul(hn::Sub(b, a), fraction));
}
HWY_INLINE float Mix(float a, float b, float fraction) { return a + (b - a) * fraction; }

// The four pixels of T around an output pixel, and how they are mixed.
template <typename T>
struct Corners {
  const T* top_left;
  const T* top_right;
  const T* bottom_left;
  const T* bottom_right;
  float fx;
  float fy;

  // Channels from c on: a vector of D, or its first `count`.
  template <class D>
  HWY_INLINE hn::Vec<D> Mixed(D d, int64_t c) const {
    const hn::Rebind<T, D> from;
    return Mixed(d, [&](const T* pixel) HWY_ATTR { return FloatsOf(d, hn::LoadU(from, pixel + c)); });
  }
  template <class D>
  HWY_INLINE hn::Vec<D> Mixed(D d, int64_t c, size_t count) const {
    const hn::Rebind<T, D> from;
    return Mixed(d, [&](const T* pixel) HWY_ATTR { return FloatsOf(d, hn::LoadN(from, pixel + c, count)); });
  }
  HWY_INLINE float Mixed(int64_t c) const {
    const float top = Mix(static_cast<float>(top_left[c]), static_cast<float>(top_right[c]), fx);
    return Mix(top, Mix(static_cast<float>(bottom_left[c]), static_cast<float>(bottom_right[c]), fx), fy);
  }

 private:
  template <class D, class Load>
  HWY_INLINE hn::Vec<D> Mixed(D d, const Load& load) const {
    const auto x = hn::Set(d, fx);
    return Mix(Mix(load(top_left), load(top_right), x), Mix(load(bottom_left), load(bottom_right), x), hn::Set(d, fy));
  }
};

template <typename T>
HWY_INLINE void BlendPixels(const RowPair<T>& rows, const Blend* columns, int64_t count, int64_t channels, float* out) {
  const FloatTag d;
  const FewTag few;
  constexpr int64_t kFew = static_cast<int64_t>(hn::MaxLanes(FewTag()));
  for (int64_t x = 0; x < count; ++x, out += channels) {
    const int64_t left = columns[x].lower * channels;
    const int64_t right = columns[x].upper * channels;
    const Corners<T> corners = {rows.top + left,     rows.top + right,    rows.bottom + left,
                                rows.bottom + right, columns[x].fraction, rows.fraction};
    int64_t c = 0;
    for (; c + kFloatLanes <= channels; c += kFloatLanes) hn::StoreU(corners.Mixed(d, c), d, out + c);
    if (c == channels) continue;
    if (channels - c > kFew) {
      const size_t rest = static_cast<size_t>(channels - c);
      hn::StoreN(corners.Mixed(d, c, rest), d, out + c, rest);
    } else if (right + c + kFew <= rows.columns * channels && x * channels + c + kFew <= count * channels) {
      hn::StoreU(corners.Mixed(few, c), few, out + c);  // what it writes of the next pixel comes anew
    } else {
      for (; c < channels; ++c) out[c] = corners.Mixed(c);
    }
  }
}

void BlendFloats(const RowPair<float>& rows, const Blend* columns, int64_t count, int64_t channels, float* out) {
  BlendPixels(rows, columns, count, channels, out);
}

void BlendBytes(const RowPair<uint8_t>& rows, const Blend* columns, int64_t count, int64_t channels, float* out) {
  BlendPixels(rows, columns, count, channels, out);
}

template <size_t kBytes>
HWY_INLINE void CopyPixelsOf(const uint8_t* row, const int64_t* columns, int64_t count, uint8_t* out) {
  for (int64_t x = 0; x < count; ++x, out += kBytes) std::memcpy(out, row + columns[x], kBytes);
}

void CopyPixelsRow(const uint8_t* row, const int64_t* columns, int64_t count, int64_t bytes, uint8_t* out) {
  switch (bytes) {  // one, three and four channels
    case 1: return CopyPixelsOf<1>(row, columns, count, out);
    case 3: return CopyPixelsOf<3>(row, columns, count, out);
    case 4: return CopyPixelsOf<4>(row, columns, count, out);
    case 12: return CopyPixelsOf<12>(row, columns, count, out);
    default:
      for (int64_t x = 0; x < count; ++x, out += bytes) CopyBytes(row + columns[x], bytes, out);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

void BlendRow(const RowPair<float>& rows, const Blend* columns, int64_t count, int64_t channels, float* out, Isa isa) {
  WHERRY_SELECT(isa, BlendFloats)(rows, columns, count, channels, out);
}

void BlendRow(const RowPair<uint8_t>& rows, const Blend* columns, int64_t count, int64_t channels, float* out,
              Isa isa) {
  WHERRY_SELECT(isa, BlendBytes)(rows, columns, count, channels, out);
}

void CopyPixels(const uint8_t* row, const int64_t* columns, int64_t count, int64_t bytes, uint8_t* out, Isa isa) {
  WHERRY_SELECT(isa, CopyPixelsRow)(row, columns, count, bytes, out);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
