#include "math/binary.h"

#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/binary.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class Kind>
struct Operation {
  static constexpr BinaryOp kOp = Kind::kOp;
  using T = std::conditional_t<std::is_same_v<typename Kind::T, bool>, uint8_t, typename Kind::T>;  // bool: 0 or 1
  using Out = std::conditional_t<IsComparison(kOp), uint8_t, T>;
  using Tag = hn::CappedTag<T, 64 / sizeof(T)>;
  using V = hn::Vec<Tag>;

  static HWY_INLINE V Value(V x, V y) {
    if constexpr (kOp == BinaryOp::kAdd) return hn::Add(x, y);
    if constexpr (kOp == BinaryOp::kSub) return hn::Sub(x, y);
    if constexpr (kOp == BinaryOp::kMul) return hn::Mul(x, y);
    if constexpr (kOp == BinaryOp::kSquaredDifference) return hn::Mul(hn::Sub(x, y), hn::Sub(x, y));
    if constexpr (kOp == BinaryOp::kDiv) return hn::Div(x, y);
    if constexpr (kOp == BinaryOp::kDivNoNan) {
      const V zero = hn::Zero(Tag());
      return hn::IfThenElse(hn::Eq(y, zero), zero, hn::Div(x, y));
    }
    if constexpr (kOp == BinaryOp::kFloorDiv) {
      const V quotient = hn::Div(x, y);
      return hn::CopySign(hn::Floor(quotient), quotient);  // not all instruction sets keep the sign of -0
    }
    if constexpr (kOp == BinaryOp::kMax) return First(hn::Gt(x, y), x, y);
    if constexpr (kOp == BinaryOp::kMin) return First(hn::Lt(x, y), x, y);
    if constexpr (kOp == BinaryOp::kAnd) return hn::And(x, y);
    if constexpr (kOp == BinaryOp::kOr) return hn::Or(x, y);
  }

  static HWY_INLINE hn::Mask<Tag> Holds(V x, V y) {
    if constexpr (kOp == BinaryOp::kEqual) return hn::Eq(x, y);
    if constexpr (kOp == BinaryOp::kNotEqual) return hn::Not(hn::Eq(x, y));  // true of NaN
    if constexpr (kOp == BinaryOp::kLess) return hn::Lt(x, y);
    if constexpr (kOp == BinaryOp::kLessEqual) return hn::Le(x, y);
    if constexpr (kOp == BinaryOp::kGreater) return hn::Gt(x, y);
    if constexpr (kOp == BinaryOp::kGreaterEqual) return hn::Ge(x, y);
  }

  using OutTag = hn::Rebind<Out, Tag>;
  static HWY_INLINE hn::Vec<OutTag> Of(V x, V y) {
    if constexpr (IsComparison(kOp)) {
      const hn::RebindToUnsigned<Tag> du;
      const auto ones = hn::IfThenElseZero(hn::RebindMask(du, Holds(x, y)), hn::Set(du, 1));
      if constexpr (sizeof(T) == 1) {
        return ones;
      } else {
        return hn::TruncateTo(OutTag(), ones);
      }
    } else {
      return Value(x, y);
    }
  }

 private:
  static HWY_INLINE V First(hn::Mask<Tag> beats, V x, V y) {
    if constexpr (std::is_same_v<T, float>) beats = hn::Or(beats, hn::IsNaN(x));
    return hn::IfThenElse(beats, x, y);
  }
};

template <class Kind>
void Row(const void* const* in, const int64_t* step, void* out_row, int64_t n) {
  using Op = Operation<Kind>;
  using T = typename Op::T;
  const typename Op::Tag d;
  const typename Op::OutTag d_out;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(typename Op::Tag()));
  const T* a = static_cast<const T*>(in[0]);
  const T* b = static_cast<const T*>(in[1]);
  typename Op::Out* out = static_cast<typename Op::Out*>(out_row);
  const int64_t whole = n / kLanes * kLanes;
  const size_t rest = static_cast<size_t>(n - whole);
  if (step[0] == step[1]) {
    for (int64_t i = 0; i < whole; i += kLanes) {
      hn::StoreU(Op::Of(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d_out, out + i);
    }
    if (rest == 0) return;
    hn::StoreN(Op::Of(hn::LoadN(d, a + whole, rest), hn::LoadN(d, b + whole, rest)), d_out, out + whole, rest);
  } else if (step[0] == 0) {
    const auto x = hn::Set(d, *a);
    for (int64_t i = 0; i < whole; i += kLanes) hn::StoreU(Op::Of(x, hn::LoadU(d, b + i)), d_out, out + i);
    if (rest != 0) hn::StoreN(Op::Of(x, hn::LoadN(d, b + whole, rest)), d_out, out + whole, rest);
  } else {
    const auto y = hn::Set(d, *b);
    for (int64_t i = 0; i < whole; i += kLanes) hn::StoreU(Op::Of(hn::LoadU(d, a + i), y), d_out, out + i);
    if (rest != 0) hn::StoreN(Op::Of(hn::LoadN(d, a + whole, rest), y), d_out, out + whole, rest);
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

template <BinaryOp kOp, typename T>
RowFunction BinaryRows(Isa isa) {
  using Kind = BinaryKind<kOp, T>;
  return WHERRY_SELECT(isa, Row<Kind>);
}

template RowFunction BinaryRows<BinaryOp::kAdd, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kSub, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kMul, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kSquaredDifference, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kDiv, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kDivNoNan, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kFloorDiv, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kMax, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kMin, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kEqual, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kNotEqual, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kLess, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kLessEqual, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kGreater, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kGreaterEqual, float>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kAdd, int32_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kSub, int32_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kMul, int32_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kSquaredDifference, int32_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kMax, int32_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kMin, int32_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kEqual, int32_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kNotEqual, int32_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kLess, int32_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kLessEqual, int32_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kGreater, int32_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kGreaterEqual, int32_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kAdd, int64_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kSub, int64_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kMul, int64_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kMax, int64_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kMin, int64_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kEqual, int64_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kNotEqual, int64_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kLess, int64_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kLessEqual, int64_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kGreater, int64_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kGreaterEqual, int64_t>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kAnd, bool>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kOr, bool>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kEqual, bool>(Isa isa);
template RowFunction BinaryRows<BinaryOp::kNotEqual, bool>(Isa isa);

}  // namespace wherry::math
#endif  // HWY_ONCE
