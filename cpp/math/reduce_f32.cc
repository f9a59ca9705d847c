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

// An operation: State is what became of one vector of elements so far, a T for each lane. Take adds a vector of elements to
// it; Join and Finish are of single lanes. kStart: what changes nothing.
struct SumOp {
  using T = double;
  static constexpr float kStart = 0.0F;
#if HWY_HAVE_FLOAT64
  using Tag = hn::CappedTag<double, 8>;
  struct State {
    hn::Vec<Tag> low;
    hn::Vec<Tag> high;
  };

  static HWY_INLINE State Start() { return {hn::Zero(Tag()), hn::Zero(Tag())}; }
  static HWY_INLINE void Take(FloatVector x, State* state) {
    state->low = hn::Add(state->low, hn::PromoteLowerTo(Tag(), x));
    state->high = hn::Add(state->high, hn::PromoteUpperTo(Tag(), x));
  }
  static HWY_INLINE void Store(const State& state, T* lanes) {
    hn::StoreU(state.low, Tag(), lanes);
    hn::StoreU(state.high, Tag(), lanes + kFloatLanes / 2);
  }
#else  // 32-bit ARM
  struct State {
    double lanes[static_cast<size_t>(kFloatLanes)];
  };

  static HWY_INLINE State Start() { return {}; }
  static HWY_INLINE void Take(FloatVector x, State* state) {
    float from[static_cast<size_t>(kFloatLanes)];
    hn::StoreU(x, FloatTag(), from);
    for (int i = 0; i < kFloatLanes; ++i) state->lanes[i] += static_cast<double>(from[i]);
  }
  static HWY_INLINE void Store(const State& state, T* lanes) {
    for (int i = 0; i < kFloatLanes; ++i) lanes[i] = state.lanes[i];
  }
#endif
  static T Join(T a, T b) { return a + b; }
  float Finish(T sum) const { return static_cast<float>(sum / divisor); }

  double divisor;
};

template <bool kMax>
struct ExtremeOp {
  using T = float;
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();
  static constexpr float kStart = kMax ? -kInfinity : kInfinity;
  struct State {
    FloatVector best;
  };

  static HWY_INLINE State Start() { return {hn::Set(FloatTag(), kStart)}; }
  static HWY_INLINE void Take(FloatVector x, State* state) {
    const auto beats = kMax ? hn::Gt(x, state->best) : hn::Lt(x, state->best);
    state->best = hn::IfThenElse(hn::Or(beats, hn::IsNaN(x)), x, state->best);
  }
  static HWY_INLINE void Store(const State& state, T* lanes) { hn::StoreU(state.best, FloatTag(), lanes); }
  static T Join(T a, T b) { return (kMax ? b > a : b < a) || b != b ? b : a; }
  static float Finish(T best) { return best; }
};

// kVectors vectors of columns, of which `columns` exist, over all rows of the plan. lanes: one for each.
template <class Op, int kVectors, bool kWhole>
HWY_INLINE void ReduceVectors(const ReducePlan& plan, const float* from, int64_t columns, typename Op::T* lanes) {
  const FloatTag d;
  typename Op::State state[kVectors];
  for (auto& part : state) part = Op::Start();
  const int outer = plan.reduced_rank > 0 ? plan.reduced_rank - 1 : 0;
  const int64_t rows = plan.reduced_rank > 0 ? plan.reduced_dims[outer] : 1;
  const int64_t stride = plan.reduced_rank > 0 ? plan.reduced_strides[outer] : 0;
  ForNest(plan.reduced_dims, plan.reduced_strides, outer, [&](int64_t offset) HWY_ATTR {
    const float* row = from + offset;
    for (int64_t r = 0; r < rows; ++r, row += stride) {
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) {
        const float* x = row + v * kFloatLanes;
        Op::Take(kWhole ? hn::LoadU(d, x) : hn::LoadN(d, x, static_cast<size_t>(columns)), state + v);
      }
    }
  });
  for (int v = 0; v < kVectors; ++v) Op::Store(state[v], lanes + v * kFloatLanes);
}

// `columns` columns; lanes for a multiple of 16.
template <class Op>
void ReduceColumns(const ReducePlan& plan, const float* from, int64_t columns, typename Op::T* lanes) {
  int64_t column = 0;
  for (constexpr int64_t kStep = kColumnVectors * kFloatLanes; column + kStep <= columns; column += kStep) {
    ReduceVectors<Op, kColumnVectors, true>(plan, from + column, kStep, lanes + column);
  }
  for (; column + kFloatLanes <= columns; column += kFloatLanes) {
    ReduceVectors<Op, 1, true>(plan, from + column, kFloatLanes, lanes + column);
  }
  if (column < columns) ReduceVectors<Op, 1, false>(plan, from + column, columns - column, lanes + column);
}

template <class Op>
float ReduceInner(const ReducePlan& plan, const Op& op, const float* from) {
  const FloatTag d;
  typename Op::State state[kColumnVectors];
  for (auto& part : state) part = Op::Start();
  ForNest(plan.reduced_dims, plan.reduced_strides, plan.reduced_rank, [&](int64_t offset) HWY_ATTR {
    const float* row = from + offset;
    int64_t i = 0;
    for (; i + kColumnVectors * kFloatLanes <= plan.inner; i += kColumnVectors * kFloatLanes) {
      HWY_UNROLL(4)
      for (int v = 0; v < kColumnVectors; ++v) {
        Op::Take(hn::LoadU(d, row + i + v * kFloatLanes), state + v);
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
  for (int v = 0; v < kColumnVectors; ++v) Op::Store(state[v], lanes + v * kFloatLanes);
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
    const int64_t column = unit % tiles * plan.tile;
    const int64_t columns = std::min(plan.tile, plan.inner - column);
    alignas(64) typename Op::T lanes[static_cast<size_t>(kReduceTile)];
    ReduceColumns<Op>(plan, from + column, columns, lanes);
    for (int64_t i = 0; i < columns; ++i) out[kept * plan.inner + column + i] = op.Finish(lanes[i]);
  }
}

template <class Op>
void ReduceChunk(const ReducePlan& plan, const float* in, int64_t chunk, std::byte* scratch) {
  ReducePlan rows = plan;
  const int64_t first = plan.reduced_dims[0] * chunk / plan.chunks;
  rows.reduced_dims[0] = plan.reduced_dims[0] * (chunk + 1) / plan.chunks - first;
  ReduceColumns<Op>(rows, in + first * plan.reduced_strides[0], plan.inner,
                    reinterpret_cast<typename Op::T*>(scratch) + chunk * ReduceScratchColumns(plan));
}

template <class Op>
void JoinChunks(const ReducePlan& plan, const Op& op, const std::byte* scratch, float* out) {
  using T = typename Op::T;
  const T* lanes = reinterpret_cast<const T*>(scratch);
  for (int64_t i = 0; i < plan.inner; ++i) {
    T whole = lanes[i];
    for (int64_t chunk = 1; chunk < plan.chunks; ++chunk) {
      whole = Op::Join(whole, lanes[chunk * ReduceScratchColumns(plan) + i]);
    }
    out[i] = op.Finish(whole);
  }
}

void SumUnits(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end) {
  ReduceUnits(plan, SumOp{1.0}, in, out, begin, end);
}

void MeanUnits(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end) {
  ReduceUnits(plan, SumOp{static_cast<double>(plan.terms)}, in, out, begin, end);
}

void MaxUnits(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end) {
  ReduceUnits(plan, ExtremeOp<true>(), in, out, begin, end);
}

void MinUnits(const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end) {
  ReduceUnits(plan, ExtremeOp<false>(), in, out, begin, end);
}

void SumChunk(const ReducePlan& plan, const float* in, int64_t chunk, std::byte* scratch) {
  ReduceChunk<SumOp>(plan, in, chunk, scratch);
}

void MaxChunk(const ReducePlan& plan, const float* in, int64_t chunk, std::byte* scratch) {
  ReduceChunk<ExtremeOp<true>>(plan, in, chunk, scratch);
}

void MinChunk(const ReducePlan& plan, const float* in, int64_t chunk, std::byte* scratch) {
  ReduceChunk<ExtremeOp<false>>(plan, in, chunk, scratch);
}

void JoinSums(const ReducePlan& plan, const std::byte* scratch, float* out) {
  JoinChunks(plan, SumOp{1.0}, scratch, out);
}

void JoinMeans(const ReducePlan& plan, const std::byte* scratch, float* out) {
  JoinChunks(plan, SumOp{static_cast<double>(plan.terms)}, scratch, out);
}

void JoinMaxima(const ReducePlan& plan, const std::byte* scratch, float* out) {
  JoinChunks(plan, ExtremeOp<true>(), scratch, out);
}

void JoinMinima(const ReducePlan& plan, const std::byte* scratch, float* out) {
  JoinChunks(plan, ExtremeOp<false>(), scratch, out);
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

FloatReduction SumOfFloats() {
  return {[](const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa) {
            WHERRY_SELECT(isa, SumUnits)(plan, in, out, begin, end);
          },
          [](const ReducePlan& plan, const float* in, int64_t chunk, std::byte* scratch, Isa isa) {
            WHERRY_SELECT(isa, SumChunk)(plan, in, chunk, scratch);
          },
          [](const ReducePlan& plan, const std::byte* scratch, float* out, Isa isa) {
            WHERRY_SELECT(isa, JoinSums)(plan, scratch, out);
          }};
}

FloatReduction MeanOfFloats() {
  return {[](const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa) {
            WHERRY_SELECT(isa, MeanUnits)(plan, in, out, begin, end);
          },
          [](const ReducePlan& plan, const float* in, int64_t chunk, std::byte* scratch, Isa isa) {
            WHERRY_SELECT(isa, SumChunk)(plan, in, chunk, scratch);
          },
          [](const ReducePlan& plan, const std::byte* scratch, float* out, Isa isa) {
            WHERRY_SELECT(isa, JoinMeans)(plan, scratch, out);
          }};
}

FloatReduction MaxOfFloats() {
  return {[](const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa) {
            WHERRY_SELECT(isa, MaxUnits)(plan, in, out, begin, end);
          },
          [](const ReducePlan& plan, const float* in, int64_t chunk, std::byte* scratch, Isa isa) {
            WHERRY_SELECT(isa, MaxChunk)(plan, in, chunk, scratch);
          },
          [](const ReducePlan& plan, const std::byte* scratch, float* out, Isa isa) {
            WHERRY_SELECT(isa, JoinMaxima)(plan, scratch, out);
          }};
}

FloatReduction MinOfFloats() {
  return {[](const ReducePlan& plan, const float* in, float* out, int64_t begin, int64_t end, Isa isa) {
            WHERRY_SELECT(isa, MinUnits)(plan, in, out, begin, end);
          },
          [](const ReducePlan& plan, const float* in, int64_t chunk, std::byte* scratch, Isa isa) {
            WHERRY_SELECT(isa, MinChunk)(plan, in, chunk, scratch);
          },
          [](const ReducePlan& plan, const std::byte* scratch, float* out, Isa isa) {
            WHERRY_SELECT(isa, JoinMinima)(plan, scratch, out);
          }};
}

}  // namespace wherry::math
#endif  // HWY_ONCE
