// Where the innermost dims are kept, a few vectors of columns are summed in registers over all rows; where they are
// reduced, a row goes to the lanes of a few vectors, which are joined at the end.
#include "math/reduce_f32.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/reduce_f32.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "math/dispatch.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, 16>;
using FloatVector = hn::Vec<FloatTag>;
inline constexpr int kFloatLanes = static_cast<int>(hn::MaxLanes(FloatTag()));
inline constexpr int kColumnVectors = 4;

// An operation: kState vectors of T hold what became of one vector of elements so far. Take adds a vector of elements to
// it; Join, Finish are of single lanes. kStart: what changes nothing.
#if HWY_HAVE_FLOAT64
struct SumOp {
  using T = double;
  static constexpr int kState = 2;
  static constexpr float kStart = 0.0F;
  using Tag = hn::CappedTag<double, 8>;
  using State = hn::Vec<Tag>;
  double divisor;

  static HWY_INLINE void Take(FloatVector x, State* state) {
    const Tag d;
    state[0] = hn::Add(state[0], hn::PromoteLowerTo(d, x));
    state[1] = hn::Add(state[1], hn::PromoteUpperTo(d, x));
  }
  static T Join(T a, T b) { return a + b; }
  float Finish(T sum) const { return static_cast<float>(sum / divisor); }
};
#endif

template <bool kMax>
struct ExtremeOp {
  using T = float;
  static constexpr int kState = 1;
  static constexpr float kStart = kMax ? -std::numeric_limits<float>::infinity() : std::numeric_limits<float>::infinity();
  using Tag = FloatTag;
  using State = FloatVector;

  static HWY_INLINE void Take(FloatVector x, State* state) {
    const auto beats = kMax ? hn::Gt(x, *state) : hn::Lt(x, *state);
    *state = hn::IfThenElse(hn::Or(beats, hn::IsNaN(x)), x, *state);
  }
  static T Join(T a, T b) { return (kMax ? b > a : b < a) || b != b ? b : a; }
  static float Finish(T best) { return best; }
};

// kVectors vectors of columns over all rows of a unit.
template <class Op, int kVectors, bool kWhole>
HWY_INLINE void ReduceColumns(const ReducePlan& plan, const Op& op, const float* from, int64_t columns, float* to) {
  const FloatTag d;
  const typename Op::Tag dt;
  typename Op::State state[kVectors * Op::kState];
  for (auto& part : state) part = hn::Set(dt, static_cast<typename Op::T>(Op::kStart));
  const int outer = plan.reduced_rank > 0 ? plan.reduced_rank - 1 : 0;
  const int64_t rows = plan.reduced_rank > 0 ? plan.reduced_dims[outer] : 1;
  const int64_t stride = plan.reduced_rank > 0 ? plan.reduced_strides[outer] : 0;
  ForNest(plan.reduced_dims, plan.reduced_strides, outer, [&](int64_t offset) HWY_ATTR {
    const float* row = from + offset;
    for (int64_t r = 0; r < rows; ++r, row += stride) {
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) {
        const float* x = row + v * kFloatLanes;
        Op::Take(kWhole ? hn::LoadU(d, x) : hn::LoadN(d, x, static_cast<size_t>(columns)), state + v * Op::kState);
      }
    }
  });
  alignas(64) typename Op::T lanes[kVectors * kFloatLanes];
  for (int v = 0; v < kVectors * Op::kState; ++v) hn::Store(state[v], dt, lanes + v * (kFloatLanes / Op::kState));
  for (int64_t i = 0; i < columns; ++i) to[i] = op.Finish(lanes[i]);
}

template <class Op>
float ReduceInner(const ReducePlan& plan, const Op& op, const float* from) {
  const FloatTag d;
  const typename Op::Tag dt;
  typename Op::State state[kColumnVectors * Op::kState];
  for (auto& part : state) part = hn::Set(dt, static_cast<typename Op::T>(Op::kStart));
  ForNest(plan.reduced_dims, plan.reduced_strides, plan.reduced_rank, [&](int64_t offset) HWY_ATTR {
    const float* row = from + offset;
    int64_t i = 0;
    for (; i + kColumnVectors * kFloatLanes <= plan.inner; i += kColumnVectors * kFloatLanes) {
      HWY_UNROLL(4)
      for (int v = 0; v < kColumnVectors; ++v) {
        Op::Take(hn::LoadU(d, row + i + v * kFloatLanes), state + v * Op::kState);
      }
    }
    for (; i + kFloatLanes <= plan.inner; i += kFloatLanes) Op::Take(hn::LoadU(d, row + i), state);
    if (i < plan.inner) {
      const size_t rest = static_cast<size_t>(plan.inner - i);
      const FloatVector start = hn::Set(d, Op::kStart);
      Op::Take(hn::IfThenElse(hn::FirstN(d, rest), hn::LoadN(d, row + i, rest), start), state);
    }
  });
  constexpr int kLanes = kColumnVectors * kFloatLanes;
  alignas(64) typename Op::T lanes[kLanes];
  for (int v = 0; v < kColumnVectors * Op::kState; ++v) {
    hn::Store(state[v], dt, lanes + v * (kFloatLanes / Op::kState));
  }
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] = Op::Join(lanes[i], lanes[i + half]);
  }
  return op.Finish(lanes[0]);
}

template <class Op>
void ReduceUnits(const ReducePlan& plan, const Op& op, const float* in, float* out, int64_t begin, int64_t end) {
  if (plan.inner_reduced != 0) {
    for (int64_t unit = begin; unit < end; ++unit) {
      out[unit] = ReduceInner(plan, op, in + NestOffset(plan.kept_dims, plan.kept_strides, plan.kept_rank, unit));
    }
    return;
  }
  const int64_t tiles = (plan.inner + plan.tile - 1) / plan.tile;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t kept = unit / tiles;
    const float* from = in + NestOffset(plan.kept_dims, plan.kept_strides, plan.kept_rank, kept);
    float* to = out + kept * plan.inner;
    int64_t column = unit % tiles * plan.tile;
    const int64_t last = std::min(column + plan.tile, plan.inner);
    for (constexpr int64_t kStep = kColumnVectors * kFloatLanes; column + kStep <= last; column += kStep) {
      ReduceColumns<Op, kColumnVectors, true>(plan, op, from + column, kStep, to + column);
    }
    for (; column + kFloatLanes <= last; column += kFloatLanes) {
      ReduceColumns<Op, 1, true>(plan, op, from + column, kFloatLanes, to + column);
    }
    if (column < last) ReduceColumns<Op, 1, false>(plan, op, from + column, last - column, to + column);
  }
}

#if !HWY_HAVE_FLOAT64  // 32-bit ARM
template <bool kMean>
struct PlainSum {
  using In = float;
  using Sum = double;
  using Out = float;
  static Sum Start() { return 0.0; }
  static Sum Add(Sum sum, In x) { return sum + static_cast<double>(x); }
  static Sum Join(Sum a, Sum b) { return a + b; }
  static Out Finish(Sum sum, int64_t count) {
    return static_cast<float>(kMean ? sum / static_cast<double>(count) : sum);
  }
};
#endif

void SumUnits(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end) {
#if HWY_HAVE_FLOAT64
  ReduceUnits(plan, SumOp{1.0}, in, out, begin, end);
#else
  Reduce<PlainSum<false>>(plan, in, out, begin, end);
#endif
}

void MeanUnits(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end) {
#if HWY_HAVE_FLOAT64
  ReduceUnits(plan, SumOp{static_cast<double>(plan.terms)}, in, out, begin, end);
#else
  Reduce<PlainSum<true>>(plan, in, out, begin, end);
#endif
}

void MaxUnits(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end) {
  ReduceUnits(plan, ExtremeOp<true>(), in, out, begin, end);
}

void MinUnits(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end) {
  ReduceUnits(plan, ExtremeOp<false>(), in, out, begin, end);
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

void SumFloats(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa) {
  WHERRY_SELECT(isa, SumUnits)(plan, in, out, begin, end);
}

void MeanFloats(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa) {
  WHERRY_SELECT(isa, MeanUnits)(plan, in, out, begin, end);
}

void MaxFloats(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa) {
  WHERRY_SELECT(isa, MaxUnits)(plan, in, out, begin, end);
}

void MinFloats(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa) {
  WHERRY_SELECT(isa, MinUnits)(plan, in, out, begin, end);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
