// Minmax codes of 2 to 16 bits to float32: offset[column] + scale[column] * code, product and sum rounded apart, as a
// graph of Cast, Mul and AddV2 does.
#include <cstring>

#include "math/panels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/panels_mm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Codes of whole bytes: uint8_t or uint16_t.
template <typename Code>
void DequantizeWhole(const PanelMatrix& b, int64_t panel, int64_t k0, int64_t k1, float* HWY_RESTRICT out) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int32_t, decltype(d)> d32;
  const hn::Rebind<Code, decltype(d)> d_code;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(d));
  constexpr int kVectors = static_cast<int>(kPanelColumns) / kLanes;
  const Code* HWY_RESTRICT codes = static_cast<const Code*>(b.data) + (panel * b.k + k0) * kPanelColumns;
  hn::Vec<decltype(d)> scale[kVectors];
  hn::Vec<decltype(d)> offset[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    scale[v] = hn::LoadU(d, b.scale + panel * kPanelColumns + v * kLanes);
    offset[v] = hn::LoadU(d, b.offset + panel * kPanelColumns + v * kLanes);
  }
  for (int64_t k = k0; k < k1; ++k) {
    HWY_UNROLL(16)
    for (int v = 0; v < kVectors; ++v) {
      const auto code = hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(d_code, codes + v * kLanes)));
      hn::Store(hn::Add(hn::Mul(code, scale[v]), offset[v]), d, out + v * kLanes);
    }
    codes += kPanelColumns;
    out += kPanelColumns;
  }
}

// Bit-packed codes, four at a time in 128-bit vectors: a byte shuffle brings the four bytes that hold a code into its
// lane, a shift and a mask cut it out. A code of up to 15 bits spans at most three bytes.
void DequantizePacked(const PanelMatrix& b, int64_t panel, int64_t k0, int64_t k1, float* HWY_RESTRICT out) {
  const hn::CappedTag<float, 4> d;
  const hn::Rebind<int32_t, decltype(d)> d_signed;
  const hn::Rebind<uint32_t, decltype(d)> d32;
  const hn::Repartition<uint8_t, decltype(d)> d8;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(d));
  constexpr int kVectors = static_cast<int>(kPanelColumns) / kLanes;
  constexpr size_t kLoad = sizeof(float) * kLanes;
  const int bits = b.bits;

  int start[kVectors];                      // byte in the row where a vector's load begins
  alignas(16) uint8_t bytes[kVectors * kLoad];  // shuffle indices
  alignas(16) uint32_t shifts[kPanelColumns];
  for (int v = 0; v < kVectors; ++v) {
    start[v] = v * kLanes * bits / 8;
    for (int lane = 0; lane < kLanes; ++lane) {
      const int bit = (v * kLanes + lane) * bits;
      shifts[v * kLanes + lane] = static_cast<uint32_t>(bit % 8);
      for (int byte = 0; byte < 4; ++byte) {
        bytes[(v * kLanes + lane) * 4 + byte] = static_cast<uint8_t>(bit / 8 - start[v] + byte);
      }
    }
  }
  const auto mask = hn::Set(d32, (uint32_t{1} << bits) - 1);
  const size_t row_bytes = static_cast<size_t>(PanelRowBytes(bits));
  const uint8_t* row = static_cast<const uint8_t*>(b.data) + static_cast<size_t>(panel * b.k + k0) * row_bytes;
  const uint8_t* const end = static_cast<const uint8_t*>(b.data) + static_cast<size_t>(b.panels() * b.k) * row_bytes;
  const size_t reach = static_cast<size_t>(start[kVectors - 1]) + kLoad;  // loads end here, past the row's own bytes
  for (int64_t k = k0; k < k1; ++k) {
    const uint8_t* from = row;
    uint8_t copy[64] = {};
    if (static_cast<size_t>(end - row) < reach) {
      std::memcpy(copy, row, row_bytes);
      from = copy;
    }
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) {
      const auto loaded = hn::LoadU(d8, from + start[v]);
      const auto spread = hn::BitCast(d32, hn::TableLookupBytes(loaded, hn::Load(d8, bytes + v * static_cast<int>(kLoad))));
      const auto code = hn::And(hn::Shr(spread, hn::Load(d32, shifts + v * kLanes)), mask);
      const auto value = hn::ConvertTo(d, hn::BitCast(d_signed, code));
      const float* scale = b.scale + panel * kPanelColumns + v * kLanes;
      const float* offset = b.offset + panel * kPanelColumns + v * kLanes;
      hn::Store(hn::Add(hn::Mul(value, hn::LoadU(d, scale)), hn::LoadU(d, offset)), d, out + v * kLanes);
    }
    row += row_bytes;
    out += kPanelColumns;
  }
}

void DequantizeMinMax(const PanelMatrix& b, int64_t panel, int64_t k0, int64_t k1, float* HWY_RESTRICT out) {
  if (b.bits == 8) {
    DequantizeWhole<uint8_t>(b, panel, k0, k1, out);
  } else if (b.bits == 16) {
    DequantizeWhole<uint16_t>(b, panel, k0, k1, out);
  } else {
    DequantizePacked(b, panel, k0, k1, out);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

DequantizePanel MinMaxPanels(Isa isa) { return WHERRY_SELECT(isa, DequantizeMinMax); }

}  // namespace wherry::math
#endif  // HWY_ONCE
