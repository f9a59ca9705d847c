// One output row, a block of up to 64 channels and a run of outputs at a time. First the columns of the image that the run
// reads are interleaved, so that four rows of one channel are one 32-bit word, and kept in the first-level cache; then each
// output takes w.filter words, a dot product of four each. A column is interleaved once and serves w.filter outputs.
#include "math/code_depthwise.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/code_depthwise.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/codes-inl.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int64_t kLineBytes = 24 << 10;  // of interleaved columns: half of a first-level cache

// Columns of a run, and outputs of a run, at most. A column of the widest block takes kTapQuadBytes for each four rows.
HWY_INLINE int64_t OutputsOfRun(const CodeDepthwise& conv) {
  const int64_t column = (conv.window.h.filter + 3) / 4 * kTapQuadBytes;
  const int64_t extent = (conv.window.w.filter - 1) * conv.window.w.dilation + 1;
  const int64_t columns = std::max<int64_t>(kLineBytes / column, extent);
  return (columns - extent) / conv.window.w.stride + 1;
}

// sum + four products of unsigned and signed codes, in each 32-bit lane.
struct AnyDot {
  template <class V32, class VU8, class VI8>
  static HWY_INLINE V32 Add(V32 sum, VU8 a, VI8 b) {
    return hn::SumOfMulQuadAccumulate(hn::DFromV<V32>(), a, b, sum);
  }
};

#if HWY_TARGET == HWY_AVX3 && defined(WHERRY_ISA_AVX512VNNI)
#define WHERRY_DEPTHWISE_DOT 1
// An assembler line, as the target of this namespace has the registers but not the instruction.
struct VnniDot {
  template <class V32, class VU8, class VI8>
  static HWY_INLINE V32 Add(V32 sum, VU8 a, VI8 b) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
    return sum;
  }
};
#elif HWY_TARGET == HWY_AVX2 && defined(WHERRY_ISA_AVXVNNI)
#define WHERRY_DEPTHWISE_DOT 1
struct VnniDot {
  template <class V32, class VU8, class VI8>
  static HWY_INLINE V32 Add(V32 sum, VU8 a, VI8 b) {
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.raw) : "x"(a.raw), "x"(b.raw));
    return sum;
  }
};
#else
#define WHERRY_DEPTHWISE_DOT 0
#endif

// kLanes channels of a block, of which `count` exist.
template <int kLanes>
struct Channels {
  int64_t first;  // channel
  int64_t count;
  int64_t place;  // of the first one's word, in what lies by PlaceOfChannel
};

template <int kLanes, bool kWhole>
HWY_INLINE hn::Vec<hn::FixedTag<uint8_t, kLanes>> LoadPixel(const uint8_t* from, int64_t count) {
  const hn::FixedTag<uint8_t, kLanes> d8;
  if constexpr (kWhole) return hn::LoadU(d8, from);
  return hn::LoadN(d8, from, static_cast<size_t>(count));
}

// Interleaves columns [begin, end) of the image, which may lie outside of it, into line[column - begin][quads][4][kLanes].
template <int kLanes, bool kWhole>
void Interleave(const CodeDepthwise& conv, const uint8_t* image, int64_t origin_y, const Channels<kLanes>& channels,
                int64_t begin, int64_t end, uint8_t* line) {
  const auto& [h, w] = conv.window;
  const hn::FixedTag<uint8_t, kLanes> d8;
  const hn::Repartition<uint16_t, decltype(d8)> d16;
  const int64_t quads = (h.filter + 3) / 4;
  const auto outside = hn::Set(d8, conv.zero);
  const int64_t inside_begin = std::clamp<int64_t>(0, begin, end);
  const int64_t inside_end = std::clamp(w.in, inside_begin, end);
  const int64_t column_bytes = quads * 4 * kLanes;
  for (int64_t quad = 0; quad < quads; ++quad) {
    const uint8_t* rows[4];
    for (int64_t t = 0; t < 4; ++t) {
      const int64_t ky = quad * 4 + t;
      const int64_t y = origin_y + ky * h.dilation;
      const bool inside = ky < h.filter && y >= 0 && y < h.in;
      rows[t] = inside ? image + y * w.in * conv.channels + channels.first : nullptr;
    }
    uint8_t* to = line + quad * 4 * kLanes;
    const auto fill = [&](int64_t count) {
      for (int64_t i = 0; i < count; ++i, to += column_bytes) {
        for (int q = 0; q < 4; ++q) hn::StoreU(outside, d8, to + q * kLanes);
      }
    };
    fill(inside_begin - begin);
    for (int64_t x = inside_begin; x < inside_end; ++x, to += column_bytes) {
      const int64_t at = x * conv.channels;
      const auto row = [&](int t) HWY_ATTR {
        return rows[t] == nullptr ? outside : LoadPixel<kLanes, kWhole>(rows[t] + at, channels.count);
      };
      const auto r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
      const auto low01 = hn::BitCast(d16, hn::InterleaveLower(d8, r0, r1));
      const auto low23 = hn::BitCast(d16, hn::InterleaveLower(d8, r2, r3));
      const auto high01 = hn::BitCast(d16, hn::InterleaveUpper(d8, r0, r1));
      const auto high23 = hn::BitCast(d16, hn::InterleaveUpper(d8, r2, r3));
      hn::StoreU(hn::BitCast(d8, hn::InterleaveLower(d16, low01, low23)), d8, to);
      hn::StoreU(hn::BitCast(d8, hn::InterleaveUpper(d16, low01, low23)), d8, to + kLanes);
      hn::StoreU(hn::BitCast(d8, hn::InterleaveLower(d16, high01, high23)), d8, to + 2 * kLanes);
      hn::StoreU(hn::BitCast(d8, hn::InterleaveUpper(d16, high01, high23)), d8, to + 3 * kLanes);
    }
    fill(end - inside_end);
  }
}

// kOutputs neighbouring outputs of one block. kWidth and kQuads are w.filter and ceil(h.filter / 4), or 0 for any.
template <class Dot, int kLanes, bool kWhole, int kWidth, int kQuads, int kOutputs>
HWY_INLINE void Outputs(const CodeDepthwise& conv, const Channels<kLanes>& channels, const uint8_t* line, uint8_t* out) {
  const auto& [h, w] = conv.window;
  const hn::FixedTag<uint8_t, kLanes> d8;
  const hn::RebindToSigned<decltype(d8)> di8;
  const hn::Repartition<int32_t, decltype(d8)> d32;
  const hn::RebindToFloat<decltype(d32)> d;
  const int64_t width = kWidth == 0 ? w.filter : kWidth;
  const int64_t quads = kQuads == 0 ? (h.filter + 3) / 4 : kQuads;
  const int64_t column_bytes = quads * 4 * kLanes;
  const int64_t tap_bytes = w.dilation * column_bytes;
  const int64_t step = w.stride * column_bytes;
  // Words of kTapChannels channels are 64 to a vector number q; a narrower block has its part of each.
  const int8_t* const filter =
      conv.filter + channels.first / kTapChannels * width * quads * kTapQuadBytes + channels.place % 16 * 4;
  hn::Vec<decltype(d32)> sum[kOutputs][4];
  HWY_UNROLL(8)
  for (int q = 0; q < 4; ++q) {
    const auto start = hn::LoadU(d32, conv.start + channels.place + q * 16);
    HWY_UNROLL(8)
    for (int o = 0; o < kOutputs; ++o) sum[o][q] = start;
  }
  const int8_t* weights = filter;
  for (int64_t kx = 0; kx < width; ++kx) {
    const uint8_t* const column = line + kx * tap_bytes;
    for (int64_t quad = 0; quad < quads; ++quad, weights += kTapQuadBytes) {
      HWY_UNROLL(8)
      for (int q = 0; q < 4; ++q) {
        const auto weight = hn::LoadU(di8, weights + q * 64);
        HWY_UNROLL(8)
        for (int o = 0; o < kOutputs; ++o) {
          const auto codes = hn::LoadU(d8, column + o * step + (quad * 4 + q) * kLanes);
          sum[o][q] = Dot::Add(sum[o][q], codes, weight);
        }
      }
    }
  }
  const auto lowest = hn::Set(d8, conv.lowest);
  const auto highest = hn::Set(d8, conv.highest);
  hn::Vec<decltype(d)> multiplier[4], offset[4];
  HWY_UNROLL(8)
  for (int q = 0; q < 4; ++q) {
    multiplier[q] = hn::LoadU(d, conv.multiplier + channels.place + q * 16);
    offset[q] = hn::LoadU(d, conv.offset + channels.place + q * 16);
  }
  HWY_UNROLL(8)
  for (int o = 0; o < kOutputs; ++o) {
    const auto value = [&](int q) HWY_ATTR {
      return hn::Add(hn::Mul(hn::ConvertTo(d, sum[o][q]), multiplier[q]), offset[q]);
    };
    const auto codes = hn::Min(hn::Max(CodesOf(d8, value(0), value(1), value(2), value(3)), lowest), highest);
    uint8_t* const to = out + o * conv.channels;
    if constexpr (kWhole) {
      hn::StoreU(codes, d8, to);
    } else {
      hn::StoreN(codes, d8, to, static_cast<size_t>(channels.count));
    }
  }
}

template <class Dot, int kLanes, bool kWhole, int kWidth, int kQuads>
void Run(const CodeDepthwise& conv, const Channels<kLanes>& channels, const uint8_t* line, int64_t outputs,
         uint8_t* out) {
  const auto& [h, w] = conv.window;
  constexpr int kTogether = 2;
  const int64_t step = w.stride * ((h.filter + 3) / 4 * 4 * kLanes);
  int64_t x = 0;
  for (; x + kTogether <= outputs; x += kTogether) {
    Outputs<Dot, kLanes, kWhole, kWidth, kQuads, kTogether>(conv, channels, line + x * step, out + x * conv.channels);
  }
  for (; x < outputs; ++x) {
    Outputs<Dot, kLanes, kWhole, kWidth, kQuads, 1>(conv, channels, line + x * step, out + x * conv.channels);
  }
}

template <class Dot, int kLanes, bool kWhole>
void Block(const CodeDepthwise& conv, const Channels<kLanes>& channels, int64_t y, uint8_t* line) {
  const auto& [h, w] = conv.window;
  const uint8_t* const image = conv.image + y / h.out * h.in * w.in * conv.channels;
  const int64_t origin_y = y % h.out * h.stride - h.before;
  uint8_t* const out = conv.out + y * w.out * conv.channels + channels.first;
  const int64_t run = OutputsOfRun(conv);
  const int64_t quads = (h.filter + 3) / 4;
  for (int64_t x = 0; x < w.out; x += run) {
    const int64_t outputs = std::min(run, w.out - x);
    const int64_t begin = x * w.stride - w.before;
    const int64_t end = begin + (outputs - 1) * w.stride + (w.filter - 1) * w.dilation + 1;
    Interleave<kLanes, kWhole>(conv, image, origin_y, channels, begin, end, line);
    uint8_t* const to = out + x * conv.channels;
    if (w.filter == 3 && quads == 1) {
      Run<Dot, kLanes, kWhole, 3, 1>(conv, channels, line, outputs, to);
    } else if (w.filter == 5 && quads == 2) {
      Run<Dot, kLanes, kWhole, 5, 2>(conv, channels, line, outputs, to);
    } else {
      Run<Dot, kLanes, kWhole, 0, 0>(conv, channels, line, outputs, to);
    }
  }
}

// Blocks of kLanes channels from `first` on while they are whole; at the end the rest, in the narrowest block that holds
// it.
template <class Dot, int kLanes>
void Blocks(const CodeDepthwise& conv, int64_t first, int64_t y, uint8_t* line) {
  for (; conv.channels - first >= kLanes; first += kLanes) {
    Block<Dot, kLanes, true>(conv, {first, kLanes, PlaceOfChannel(first)}, y, line);
  }
  const int64_t rest = conv.channels - first;
  if (rest == 0) return;
  if constexpr (kLanes > 16) {
    if (rest <= kLanes / 2) {
      Blocks<Dot, kLanes / 2>(conv, first, y, line);
      return;
    }
  }
  Block<Dot, kLanes, false>(conv, {first, rest, PlaceOfChannel(first)}, y, line);
}

inline constexpr int kWidest = static_cast<int>(std::min<size_t>(hn::MaxLanes(hn::CappedTag<uint8_t, 64>()), 64));

template <class Dot>
void Rows(const CodeDepthwise& conv, int64_t begin, int64_t end, std::byte* scratch) {
  for (int64_t y = begin; y < end; ++y) Blocks<Dot, kWidest>(conv, 0, y, reinterpret_cast<uint8_t*>(scratch));
}

void CodeDepthwiseRows(const CodeDepthwise& conv, int64_t begin, int64_t end, std::byte* scratch) {
  Rows<AnyDot>(conv, begin, end, scratch);
}

#if WHERRY_DEPTHWISE_DOT
void CodeDepthwiseVnniRows(const CodeDepthwise& conv, int64_t begin, int64_t end, std::byte* scratch) {
  Rows<VnniDot>(conv, begin, end, scratch);
}
#endif
#undef WHERRY_DEPTHWISE_DOT

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

size_t CodeDepthwiseScratch(const CodeDepthwise& conv) {
  const int64_t column = (conv.window.h.filter + 3) / 4 * kTapQuadBytes;
  const int64_t extent = (conv.window.w.filter - 1) * conv.window.w.dilation + 1;
  return static_cast<size_t>(std::max<int64_t>(HWY_NAMESPACE::kLineBytes, extent * column));
}

void RunCodeDepthwise(const CodeDepthwise& conv, int64_t begin, int64_t end, std::byte* scratch, Isa isa) {
#if defined(WHERRY_ISA_AVX512VNNI)
  if (isa >= Isa::kAvx512Vnni) return N_AVX3::CodeDepthwiseVnniRows(conv, begin, end, scratch);
#endif
#if defined(WHERRY_ISA_AVXVNNI)
  if (isa == Isa::kAvxVnni) return N_AVX2::CodeDepthwiseVnniRows(conv, begin, end, scratch);
#endif
  WHERRY_SELECT(isa, CodeDepthwiseRows)(conv, begin, end, scratch);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
