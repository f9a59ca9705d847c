// The small linear maps of Winograd convolution, on vectors of channels. Compiled once for each instruction set.
//
// F(m, 3) makes m outputs of n = m + 2 inputs and 3 taps with n products: y = A' [(G g) * (B' d)] (Lavin and Gray,
// "Fast algorithms for convolutional neural networks", 2015). In both directions: n x n products for m x m outputs.
// F(2, 3) has the points 0, +-1 and infinity. F(4, 3) has 0, +-5/8, +-3/2 and infinity: their powers are closer to 1
// than those of the usual 0, +-1, +-2, and the error is a third. The factors that belong to a point are all in B: rows
// of G are the powers of a point and cost the least, as a filter is transformed more often than an image.
#if defined(WHERRY_MATH_WINOGRAD_TRANSFORMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WHERRY_MATH_WINOGRAD_TRANSFORMS_INL_H_
#undef WHERRY_MATH_WINOGRAD_TRANSFORMS_INL_H_
#else
#define WHERRY_MATH_WINOGRAD_TRANSFORMS_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"
#include "math/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

using WinogradVector = hn::Vec<TileTag>;

HWY_INLINE WinogradVector Constant(float value) { return hn::Set(TileTag(), value); }

template <int kTile>
struct Winograd;

template <>
struct Winograd<2> {
  using V = WinogradVector;
  static constexpr int kTile = 2;
  static constexpr int kPoints = 4;

  // B' d.
  static HWY_INLINE void Image(const V* d, V* out) {
    const V half = Constant(0.5F);
    const V middle = hn::Mul(half, d[2]);
    out[0] = hn::Sub(d[0], d[2]);
    out[1] = hn::MulAdd(half, d[1], middle);
    out[2] = hn::NegMulAdd(half, d[1], middle);
    out[3] = hn::Sub(d[3], d[1]);
  }
  // G g.
  static HWY_INLINE void Filter(const V* g, V* out) {
    const V even = hn::Add(g[0], g[2]);
    out[0] = g[0];
    out[1] = hn::Add(even, g[1]);
    out[2] = hn::Sub(even, g[1]);
    out[3] = g[2];
  }
  // A' m.
  static HWY_INLINE void Output(const V* m, V* out) {
    out[0] = hn::Add(m[0], hn::Add(m[1], m[2]));
    out[1] = hn::Add(m[3], hn::Sub(m[1], m[2]));
  }
};

template <>
struct Winograd<4> {
  using V = WinogradVector;
  static constexpr int kTile = 4;
  static constexpr int kPoints = 6;
  static constexpr float kA = 0.625F;
  static constexpr float kB = 1.5F;
  static constexpr float kA2 = kA * kA;
  static constexpr float kB2 = kB * kB;

  static HWY_INLINE void Image(const V* d, V* out) {
    constexpr float kScaleA = 1.0F / (2.0F * kA2 * (kA2 - kB2));
    constexpr float kScaleB = 1.0F / (2.0F * kB2 * (kB2 - kA2));
    constexpr float kEnd = 1.0F / (kA2 * kB2);
    const V even_a = hn::NegMulAdd(Constant(kScaleA * kB2), d[2], hn::Mul(Constant(kScaleA), d[4]));
    const V even_b = hn::NegMulAdd(Constant(kScaleB * kA2), d[2], hn::Mul(Constant(kScaleB), d[4]));
    const V odd_a = hn::NegMulAdd(Constant(kB2), d[1], d[3]);
    const V odd_b = hn::NegMulAdd(Constant(kA2), d[1], d[3]);
    out[0] = hn::MulAdd(Constant(kEnd), d[4], hn::NegMulAdd(Constant(kEnd * (kA2 + kB2)), d[2], d[0]));
    out[1] = hn::MulAdd(Constant(kScaleA * kA), odd_a, even_a);
    out[2] = hn::NegMulAdd(Constant(kScaleA * kA), odd_a, even_a);
    out[3] = hn::MulAdd(Constant(kScaleB * kB), odd_b, even_b);
    out[4] = hn::NegMulAdd(Constant(kScaleB * kB), odd_b, even_b);
    out[5] = hn::MulAdd(Constant(kA2 * kB2), d[1], hn::NegMulAdd(Constant(kA2 + kB2), d[3], d[5]));
  }
  static HWY_INLINE void Filter(const V* g, V* out) {
    const V even_a = hn::MulAdd(Constant(kA2), g[2], g[0]);
    const V even_b = hn::MulAdd(Constant(kB2), g[2], g[0]);
    out[0] = g[0];
    out[1] = hn::MulAdd(Constant(kA), g[1], even_a);
    out[2] = hn::NegMulAdd(Constant(kA), g[1], even_a);
    out[3] = hn::MulAdd(Constant(kB), g[1], even_b);
    out[4] = hn::NegMulAdd(Constant(kB), g[1], even_b);
    out[5] = g[2];
  }
  static HWY_INLINE void Output(const V* m, V* out) {
    const V even_a = hn::Add(m[1], m[2]);
    const V odd_a = hn::Sub(m[1], m[2]);
    const V even_b = hn::Add(m[3], m[4]);
    const V odd_b = hn::Sub(m[3], m[4]);
    out[0] = hn::Add(m[0], hn::Add(even_a, even_b));
    out[1] = hn::MulAdd(Constant(kA), odd_a, hn::Mul(Constant(kB), odd_b));
    out[2] = hn::MulAdd(Constant(kA2), even_a, hn::Mul(Constant(kB2), even_b));
    out[3] = hn::MulAdd(Constant(kA2 * kA), odd_a, hn::MulAdd(Constant(kB2 * kB), odd_b, m[5]));
  }
};

// B' d B of a vector of channels: pixel i * n + j is at pixels[i * n + j] + channel, point i * n + j goes to
// out + offsets[i * n + j].
template <int kTile>
HWY_INLINE void TransformImage(const float* const* pixels, int64_t channel, float* out, const int64_t* offsets) {
  constexpr int n = Winograd<kTile>::kPoints;
  const TileTag d;
  WinogradVector columns[n][n];  // [column][row]
  HWY_UNROLL(6)
  for (int j = 0; j < n; ++j) {
    WinogradVector in[n];
    HWY_UNROLL(6)
    for (int i = 0; i < n; ++i) in[i] = hn::LoadU(d, pixels[i * n + j] + channel);
    Winograd<kTile>::Image(in, columns[j]);
  }
  HWY_UNROLL(6)
  for (int i = 0; i < n; ++i) {
    WinogradVector in[n];
    WinogradVector point[n];
    HWY_UNROLL(6)
    for (int j = 0; j < n; ++j) in[j] = columns[j][i];
    Winograd<kTile>::Image(in, point);
    HWY_UNROLL(6)
    for (int j = 0; j < n; ++j) hn::StoreU(point[j], d, out + offsets[i * n + j]);
  }
}

// The rows of points that share work come in pairs: those of 0 and infinity, then those of x and -x.
template <int kTile>
constexpr int RowOf(int pair, int second) {
  return pair > 0 ? 2 * pair - 1 + second : second * (Winograd<kTile>::kPoints - 1);
}

// A pair of rows of G g G'. Tap i * 3 + j is at taps + (i * 3 + j) * tap_stride; point (RowOf(kPair, i), j) goes to
// out + (i * n + j) * out_stride.
template <int kTile, int kPair>
HWY_INLINE void TransformFilter(const float* HWY_RESTRICT taps, int64_t tap_stride, float* HWY_RESTRICT out,
                                int64_t out_stride) {
  constexpr int n = Winograd<kTile>::kPoints;
  const TileTag d;
  WinogradVector columns[3][n];  // [column][row]
  HWY_UNROLL(3)
  for (int j = 0; j < 3; ++j) {
    WinogradVector g[3];
    HWY_UNROLL(3)
    for (int i = 0; i < 3; ++i) g[i] = hn::LoadU(d, taps + (i * 3 + j) * tap_stride);
    Winograd<kTile>::Filter(g, columns[j]);
  }
  HWY_UNROLL(2)
  for (int i = 0; i < 2; ++i) {
    constexpr int kRows[2] = {RowOf<kTile>(kPair, 0), RowOf<kTile>(kPair, 1)};
    const WinogradVector g[3] = {columns[0][kRows[i]], columns[1][kRows[i]], columns[2][kRows[i]]};
    WinogradVector point[n];
    Winograd<kTile>::Filter(g, point);
    HWY_UNROLL(6)
    for (int j = 0; j < n; ++j) hn::StoreU(point[j], d, out + (i * n + j) * out_stride);
  }
}

// A' m A; product i * n + j is at m + (i * n + j) * stride, output (i, j) is out[i][j].
template <int kTile>
HWY_INLINE void TransformOutput(const float* HWY_RESTRICT m, int64_t stride, WinogradVector (*out)[kTile]) {
  constexpr int n = Winograd<kTile>::kPoints;
  const TileTag d;
  WinogradVector columns[n][kTile];  // [column][row]
  HWY_UNROLL(6)
  for (int j = 0; j < n; ++j) {
    WinogradVector in[n];
    HWY_UNROLL(6)
    for (int i = 0; i < n; ++i) in[i] = hn::LoadU(d, m + (i * n + j) * stride);
    Winograd<kTile>::Output(in, columns[j]);
  }
  HWY_UNROLL(4)
  for (int i = 0; i < kTile; ++i) {
    WinogradVector in[n];
    HWY_UNROLL(6)
    for (int j = 0; j < n; ++j) in[j] = columns[j][i];
    Winograd<kTile>::Output(in, out[i]);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
