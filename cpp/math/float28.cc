// With AVX-512 decoding takes 2.6 instructions for each vector of weights, one for seven of eight and 14 for the last (with AVX2 2 and
// 25, a quarter more time than plain floats in the third-level cache where that gives 90 GB/s): less time than that vector takes
// from the third-level cache where that gives 30 GB/s, and about as much as from the second.
#include "math/float28.h"

#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/float28.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kFloat28PanelUnits>;
using Bits = hn::RebindToUnsigned<Floats>;
using VF = hn::Vec<Floats>;
using VB = hn::Vec<Bits>;

constexpr int kLanes = static_cast<int>(hn::MaxLanes(Floats()));
constexpr int kVectors = static_cast<int>(kFloat28PanelUnits) / kLanes;
constexpr int kCodedRows = static_cast<int>(kFloat28Rows) - 1;

struct Decode {
  VB own;       // bits that a row keeps
  VB exponent;  // the others
};

// sums [16] += h [8] x a group; returns what follows the group.
HWY_INLINE const float* AddPlain(const float* h, const float* from, VF (&sums)[kVectors]) {
  const Floats d;
  HWY_UNROLL(8)
  for (int k = 0; k < kFloat28Rows; ++k) {
    const VF row = hn::Set(d, h[k]);
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) {
      sums[v] = hn::MulAdd(row, hn::LoadU(d, from + k * kFloat28PanelUnits + v * kLanes), sums[v]);
    }
  }
  return from + kFloat28Rows * kFloat28PanelUnits;
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
// What waits for its weights leaves a core no room to ask for further ones: the group after the next is asked for before.
constexpr int64_t kAhead = 2 * kCodedRows * kFloat28PanelUnits;

HWY_INLINE const float* AddCoded(const float* h, const float* from, const Decode& decode, VF (&sums)[kVectors]) {
  const Floats d;
  const Bits bits;
  static_assert(kVectors == 1);
  VB row[kCodedRows];
  HWY_UNROLL(8)
  for (int k = 0; k < kCodedRows; ++k) {
    const float* const at = from + k * kFloat28PanelUnits;
    __builtin_prefetch(at + kAhead);
    row[k] = hn::BitCast(bits, hn::LoadU(d, at));
  }
  HWY_UNROLL(8)
  for (int k = 0; k < kCodedRows; ++k) {
    const VB weight = hn::BitwiseIfThenElse(decode.own, row[k], decode.exponent);
    sums[0] = hn::MulAdd(hn::Set(d, h[k]), hn::BitCast(d, weight), sums[0]);
  }
  // The eighth row, four bits from each: those of the first row end up in bits 23 to 26.
  VB last = hn::RotateRight<4>(row[kCodedRows - 1]);
  HWY_UNROLL(8)
  for (int k = kCodedRows - 2; k >= 0; --k) last = hn::RotateRight<4>(hn::BitwiseIfThenElse(decode.own, last, row[k]));
  const VB weight = hn::BitwiseIfThenElse(decode.own, last, decode.exponent);
  sums[0] = hn::MulAdd(hn::Set(d, h[kCodedRows]), hn::BitCast(d, weight), sums[0]);
  return from + kCodedRows * kFloat28PanelUnits;
}
#else
// What coded row k has of the eighth.
template <int k>
HWY_INLINE VB ShareOfLast(VB row) {
  if constexpr (k < kCodedRows - 1) {
    return hn::ShiftRight<4 * (k + 1)>(hn::And(row, hn::Set(Bits(), 0x78000000U)));
  } else {
    return hn::Or(hn::ShiftRight<28>(hn::And(row, hn::Set(Bits(), 0x70000000U))),
                  hn::ShiftLeft<4>(hn::And(row, hn::Set(Bits(), 0x08000000U))));
  }
}

// Where neither rotating nor choosing bits is one instruction, the eighth row is put together of shares that are cut out.
template <int... k>
HWY_INLINE void AddCodedVector(const float* h, const float* from, const Decode& decode, VF& sum, std::integer_sequence<int, k...>) {
  const Floats d;
  const Bits bits;
  VB last = decode.exponent;
  const auto add = [&](float state, VB weight) HWY_ATTR { sum = hn::MulAdd(hn::Set(d, state), hn::BitCast(d, weight), sum); };
  const auto add_row = [&](auto index) HWY_ATTR {
    const VB row = hn::BitCast(bits, hn::LoadU(d, from + index * kFloat28PanelUnits));
    add(h[index], hn::Or(hn::And(row, decode.own), decode.exponent));
    last = hn::Or(last, ShareOfLast<index>(row));
  };
  (add_row(std::integral_constant<int, k>()), ...);
  add(h[kCodedRows], last);
}

HWY_INLINE const float* AddCoded(const float* h, const float* from, const Decode& decode, VF (&sums)[kVectors]) {
  HWY_UNROLL(4)
  for (int v = 0; v < kVectors; ++v) {
    AddCodedVector(h, from + v * kLanes, decode, sums[v], std::make_integer_sequence<int, kCodedRows>());
  }
  return from + kCodedRows * kFloat28PanelUnits;
}
#endif

// A group of each gate: plain where a bit of `plain` says so.
HWY_INLINE void AddGroups(const float* h, int plain, const Decode& decode, const float* (&from)[kFloat28Gates],
                          VF (&sums)[kFloat28Gates][kVectors]) {
  HWY_UNROLL(4)
  for (int gate = 0; gate < kFloat28Gates; ++gate) {
    from[gate] = (plain >> gate & 1) != 0 ? AddPlain(h, from[gate], sums[gate]) : AddCoded(h, from[gate], decode, sums[gate]);
  }
}

// What most groups are: the compiler's last gate lies plain (pack/float28.py).
constexpr int kUsualPlain = 1 << (kFloat28Gates - 1);

void AddRow28(const float* h, const Float28Matrix& weights, int64_t panel, float* sums) {
  const Floats d;
  const Bits bits;
  const Decode decode = {hn::Set(bits, 0x87FFFFFFU), hn::Set(bits, weights.exponent)};
  const float* from[kFloat28Gates];
  VF sum[kFloat28Gates][kVectors];
  HWY_UNROLL(4)
  for (int gate = 0; gate < kFloat28Gates; ++gate) {
    from[gate] = reinterpret_cast<const float*>(weights.groups + weights.starts[panel * kFloat28Gates + gate]);
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) sum[gate][v] = hn::LoadU(d, sums + gate * kFloat28PanelUnits + v * kLanes);
  }
  const uint8_t* const plain = weights.plain + panel * weights.panel_groups();
  for (int64_t group = 0; group < weights.panel_groups(); ++group, h += kFloat28Rows) {
    if (HWY_LIKELY(plain[group] == kUsualPlain)) {  // without branches within
      AddGroups(h, kUsualPlain, decode, from, sum);
    } else {
      // The compiler would else load what both need before it knows which, and run out of registers.
      for (const float*& start : from) asm("" : "+r"(start));
      AddGroups(h, plain[group], decode, from, sum);
    }
  }
  HWY_UNROLL(4)
  for (int gate = 0; gate < kFloat28Gates; ++gate) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[gate][v], d, sums + gate * kFloat28PanelUnits + v * kLanes);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

int64_t FindFloat28Panels(const Float28Matrix& weights, int64_t* starts) {
  constexpr int64_t kVectorBytes = kFloat28PanelUnits * static_cast<int64_t>(sizeof(float));
  int64_t at = 0;
  for (int64_t panel = 0; panel < weights.panels(); ++panel) {
    const uint8_t* const plain = weights.plain + panel * weights.panel_groups();
    for (int gate = 0; gate < kFloat28Gates; ++gate) {
      if (starts != nullptr) starts[panel * kFloat28Gates + gate] = at;
      int64_t vectors = weights.panel_groups() * (kFloat28Rows - 1);
      for (int64_t group = 0; group < weights.panel_groups(); ++group) vectors += plain[group] >> gate & 1;
      at += vectors * kVectorBytes;
    }
  }
  return at;
}

void AddFloat28Row(const float* h, const Float28Matrix& weights, int64_t panel, float* sums, Isa isa) {
  WHERRY_SELECT(isa, AddRow28)(h, weights, panel, sums);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
