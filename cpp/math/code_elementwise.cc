#include "math/code_elementwise.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/code_elementwise.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/codes-inl.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using CodeTag = hn::CappedTag<uint8_t, 64>;
inline constexpr int64_t kCodeLanes = static_cast<int64_t>(hn::MaxLanes(CodeTag()));

// Calls step(i, n) for every run of kCodeLanes elements; the last one may have fewer.
template <class Step>
HWY_INLINE void ForRuns(int64_t count, const Step& step) {
  int64_t i = 0;
  for (; i + kCodeLanes <= count; i += kCodeLanes) step(i, kCodeLanes);
  if (i < count) step(i, count - i);
}

HWY_INLINE hn::Vec<CodeTag> LoadCodes(const uint8_t* from, int64_t n) {
  const CodeTag d8;
  return n == kCodeLanes ? hn::LoadU(d8, from) : hn::LoadN(d8, from, static_cast<size_t>(n));
}

HWY_INLINE void StoreCodes(hn::Vec<CodeTag> codes, uint8_t* to, int64_t n) {
  const CodeTag d8;
  if (n == kCodeLanes) {
    hn::StoreU(codes, d8, to);
  } else {
    hn::StoreN(codes, d8, to, static_cast<size_t>(n));
  }
}

using ValueTag = hn::Repartition<float, CodeTag>;

void AddRun(const uint8_t* a, const uint8_t* b, int64_t count, const CodeSum& params, uint8_t* out) {
  const CodeTag d8;
  const ValueTag d;
  const auto factor_a = hn::Set(d, params.factor_a);
  const auto factor_b = hn::Set(d, params.factor_b);
  const auto offset = hn::Set(d, params.offset);
  const auto lowest = hn::Set(d8, params.limits.lowest);
  const auto highest = hn::Set(d8, params.limits.highest);
  ForRuns(count, [&](int64_t i, int64_t n) HWY_ATTR {
    const CodeWords<CodeTag> x(LoadCodes(a + i, n));
    const CodeWords<CodeTag> y(LoadCodes(b + i, n));
    const auto value = [&](int q) HWY_ATTR {
      const auto from_b = hn::Add(hn::Mul(hn::ConvertTo(d, y.words[q]), factor_b), offset);
      return hn::Add(hn::Mul(hn::ConvertTo(d, x.words[q]), factor_a), from_b);
    };
    const auto codes = CodesOf(d8, value(0), value(1), value(2), value(3));
    StoreCodes(hn::Min(hn::Max(codes, lowest), highest), out + i, n);
  });
}

void MultiplyRun(const uint8_t* a, const uint8_t* b, int64_t count, const CodeProduct& params, uint8_t* out) {
  const CodeTag d8;
  const ValueTag d;
  const hn::Repartition<int32_t, CodeTag> d32;
  const auto zero_a = hn::Set(d32, params.zero_a);
  const auto zero_b = hn::Set(d32, params.zero_b);
  const auto factor = hn::Set(d, params.factor);
  const auto offset = hn::Set(d, params.zero_out);
  ForRuns(count, [&](int64_t i, int64_t n) HWY_ATTR {
    const CodeWords<CodeTag> x(LoadCodes(a + i, n));
    const CodeWords<CodeTag> y(LoadCodes(b + i, n));
    const auto value = [&](int q) HWY_ATTR {
      const auto from_b = hn::Mul(hn::ConvertTo(d, hn::Sub(y.words[q], zero_b)), factor);
      return hn::Add(hn::Mul(hn::ConvertTo(d, hn::Sub(x.words[q], zero_a)), from_b), offset);
    };
    StoreCodes(CodesOf(d8, value(0), value(1), value(2), value(3)), out + i, n);
  });
}

// Vectors of the four words of a code are not in memory's order, so values are made from quarters instead.
void ValuesRun(const uint8_t* codes, int64_t count, CodeScale scale, float* out) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int32_t, decltype(d)> d32;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const int64_t lanes = static_cast<int64_t>(hn::MaxLanes(d));
  const auto zero = hn::Set(d32, scale.zero);
  const auto factor = hn::Set(d, scale.scale);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto whole = hn::Sub(hn::PromoteTo(d32, hn::LoadU(d8, codes + i)), zero);
    hn::StoreU(hn::Mul(hn::ConvertTo(d, whole), factor), d, out + i);
  }
  for (; i < count; ++i) out[i] = static_cast<float>(codes[i] - scale.zero) * scale.scale;
}

#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
// VPERMI2W reads 64 words of two registers; four hold the table's pairs of bytes. The two codes of each word choose
// a pair each, and then its first or second byte.
void LookUpRun(const uint8_t* codes, int64_t count, const uint8_t* table, uint8_t* out) {
  const CodeTag d8;
  const hn::Repartition<uint16_t, CodeTag> d16;
  hn::Vec<decltype(d16)> part[4];
  for (int p = 0; p < 4; ++p) part[p] = hn::BitCast(d16, hn::LoadU(d8, table + 64 * p));
  const auto byte = hn::Set(d16, 0xFF);
  // What words below 256 choose, in their low bytes.
  const auto find = [&](auto code) HWY_ATTR {
    const auto at = hn::IndicesFromVec(d16, hn::And(hn::ShiftRight<1>(code), hn::Set(d16, 63)));
    const auto low = hn::TwoTablesLookupLanes(d16, part[0], part[1], at);
    const auto high = hn::TwoTablesLookupLanes(d16, part[2], part[3], at);
    const auto found = hn::IfThenElse(hn::Ge(code, hn::Set(d16, 128)), high, low);
    return hn::Shr(found, hn::ShiftLeft<3>(hn::And(code, hn::Set(d16, 1))));
  };
  ForRuns(count, [&](int64_t i, int64_t n) HWY_ATTR {
    const auto x = hn::BitCast(d16, LoadCodes(codes + i, n));
    const auto even = hn::And(find(hn::And(x, byte)), byte);
    const auto odd = hn::ShiftLeft<8>(find(hn::ShiftRight<8>(x)));
    StoreCodes(hn::BitCast(d8, hn::Or(even, odd)), out + i, n);
  });
}
#elif HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
// VPSHUFB reads 16 bytes and gives 0 where an index has its top bit, so the table's 16 parts give one byte that is not 0
// at most.
void LookUpRun(const uint8_t* codes, int64_t count, const uint8_t* table, uint8_t* out) {
  const CodeTag d8;
  ForRuns(count, [&](int64_t i, int64_t n) HWY_ATTR {
    auto x = LoadCodes(codes + i, n);
    auto found = hn::Zero(d8);
    for (int p = 0; p < 16; ++p) {
      const auto part = hn::LoadDup128(d8, table + 16 * p);
      const auto at = hn::SaturatedAdd(x, hn::Set(d8, 0x70));  // from 16 on: the top bit
      found = hn::Or(found, hn::TableLookupBytesOr0(part, at));
      x = hn::Sub(x, hn::Set(d8, 16));
    }
    StoreCodes(found, out + i, n);
  });
}
#else
void LookUpRun(const uint8_t* codes, int64_t count, const uint8_t* table, uint8_t* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = table[codes[i]];
}
#endif

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#if defined(WHERRY_ISA_AMX)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace wherry::math {
namespace {

#if defined(WHERRY_ISA_AMX)
// VPERMI2B reads 128 entries; the top bit chooses between two of them. CPUs with AMX have it.
__attribute__((target("avx512f,avx512bw,avx512vbmi"))) void LookUpVbmi(const uint8_t* codes, int64_t count,
                                                                      const uint8_t* table, uint8_t* out) {
  __m512i part[4];
  for (int p = 0; p < 4; ++p) part[p] = _mm512_loadu_si512(table + 64 * p);
  for (int64_t i = 0; i < count; i += 64) {
    const int64_t n = count - i;
    const __mmask64 some = n >= 64 ? ~__mmask64{0} : (__mmask64{1} << n) - 1;
    const __m512i x = _mm512_maskz_loadu_epi8(some, codes + i);
    const __m512i low = _mm512_permutex2var_epi8(part[0], x, part[1]);
    const __m512i high = _mm512_permutex2var_epi8(part[2], x, part[3]);
    _mm512_mask_storeu_epi8(out + i, some, _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high));
  }
}
#elif defined(__aarch64__)
// TBL reads 64 entries and gives 0 past them, TBX leaves what is there.
void LookUpNeon(const uint8_t* codes, int64_t count, const uint8_t* table, uint8_t* out) {
  uint8x16x4_t part[4];
  for (int p = 0; p < 4; ++p) part[p] = vld1q_u8_x4(table + 64 * p);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    uint8x16_t x = vld1q_u8(codes + i);
    uint8x16_t found = vqtbl4q_u8(part[0], x);
    for (int p = 1; p < 4; ++p) {
      x = vsubq_u8(x, vdupq_n_u8(64));
      found = vqtbx4q_u8(found, part[p], x);
    }
    vst1q_u8(out + i, found);
  }
  HWY_NAMESPACE::LookUpRun(codes + i, count - i, table, out + i);
}
#endif

}  // namespace

void AddCodes(const uint8_t* a, const uint8_t* b, int64_t count, const CodeSum& sum, uint8_t* out, Isa isa) {
  WHERRY_SELECT(isa, AddRun)(a, b, count, sum, out);
}

void MultiplyCodes(const uint8_t* a, const uint8_t* b, int64_t count, const CodeProduct& product, uint8_t* out, Isa isa) {
  WHERRY_SELECT(isa, MultiplyRun)(a, b, count, product, out);
}

void ValuesOfCodes(const uint8_t* codes, int64_t count, CodeScale scale, float* out, Isa isa) {
  WHERRY_SELECT(isa, ValuesRun)(codes, count, scale, out);
}

void LookUpCodes(const uint8_t* codes, int64_t count, const uint8_t* table, uint8_t* out, Isa isa) {
#if defined(__aarch64__)
  static_cast<void>(isa);
  LookUpNeon(codes, count, table, out);
#else
#if defined(WHERRY_ISA_AMX)
  if (isa == Isa::kAmx) return LookUpVbmi(codes, count, table, out);
#endif
  WHERRY_SELECT(isa, LookUpRun)(codes, count, table, out);
#endif
}

}  // namespace wherry::math
#endif  // HWY_ONCE
