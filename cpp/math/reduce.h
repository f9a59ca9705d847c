// Reductions over any set of dims, in one fixed order for each output element, whoever computes it.
//
// The dims of a row-major tensor are merged into runs that alternate between kept and reduced. Where the innermost
// run is reduced, its elements go to 16 accumulators in turn; where it is kept, whole stretches of it are
// accumulated at once. Both loops vectorise.
//
// A reduction `Op` has types In, Sum, Out and static functions
//   Sum Start();  Sum Add(Sum, In);  Sum Join(Sum, Sum);  Out Finish(Sum, int64_t count);
#ifndef WHERRY_MATH_REDUCE_H_
#define WHERRY_MATH_REDUCE_H_

#include <cstdint>

namespace wherry::math {

inline constexpr int kMaxReduceRuns = 4;   // of each kind; 8 dims alternate at most so often
inline constexpr int64_t kReduceLanes = 16;
inline constexpr int64_t kReduceChunk = 16384;   // elements that make a chunk of rows worth while
inline constexpr int64_t kMostReduceChunks = 8;
inline constexpr int64_t kReduceTile = 128;  // the most columns of a piece

struct ReducePlan {
  int32_t kept_rank = 0;     // kept runs but for the innermost
  int32_t reduced_rank = 0;  // likewise
  int32_t inner_reduced = 0;
  int64_t inner = 1;         // elements of the innermost run
  int64_t terms = 1;         // elements that one output is made of
  int64_t outputs = 1;
  int64_t units = 1;         // independent pieces of work
  int64_t chunks = 1;        // pieces that the rows of one matrix are cut into (reduce_f32.h), whoever computes them
  int64_t tile = 1;          // columns of a piece, where the innermost run is kept: no result depends on it
  int64_t kept_dims[kMaxReduceRuns] = {};
  int64_t kept_strides[kMaxReduceRuns] = {};
  int64_t reduced_dims[kMaxReduceRuns] = {};
  int64_t reduced_strides[kMaxReduceRuns] = {};
};

// dims, reduced: one for each of at most 8 dims. threads: how many may compute units at once.
inline ReducePlan PlanReduce(const int64_t* dims, const bool* reduced, int rank, int threads) {
  ReducePlan plan;
  int64_t sizes[8];
  bool kinds[8];
  int runs = 0;
  for (int d = 0; d < rank; ++d) {
    (reduced[d] ? plan.terms : plan.outputs) *= dims[d];
    if (dims[d] == 1) continue;
    if (runs > 0 && kinds[runs - 1] == reduced[d]) {
      sizes[runs - 1] *= dims[d];
    } else {
      sizes[runs] = dims[d];
      kinds[runs++] = reduced[d];
    }
  }
  int64_t stride = 1;
  if (runs > 0) {
    plan.inner = sizes[runs - 1];
    plan.inner_reduced = kinds[runs - 1] ? 1 : 0;
    stride = plan.inner;
  }
  int kept = 0;
  int gone = 0;
  int64_t kept_dims[kMaxReduceRuns];
  int64_t kept_strides[kMaxReduceRuns];
  int64_t gone_dims[kMaxReduceRuns];
  int64_t gone_strides[kMaxReduceRuns];
  for (int r = runs - 2; r >= 0; --r) {  // inside out
    if (kinds[r]) {
      gone_dims[gone] = sizes[r];
      gone_strides[gone++] = stride;
    } else {
      kept_dims[kept] = sizes[r];
      kept_strides[kept++] = stride;
    }
    stride *= sizes[r];
  }
  plan.kept_rank = kept;
  plan.reduced_rank = gone;
  for (int i = 0; i < kept; ++i) {
    plan.kept_dims[i] = kept_dims[kept - 1 - i];
    plan.kept_strides[i] = kept_strides[kept - 1 - i];
  }
  for (int i = 0; i < gone; ++i) {
    plan.reduced_dims[i] = gone_dims[gone - 1 - i];
    plan.reduced_strides[i] = gone_strides[gone - 1 - i];
  }
  plan.units = plan.outputs;
  if (plan.inner_reduced != 0 || plan.outputs == 0) return plan;
  if (plan.kept_rank == 0 && plan.reduced_rank == 1) {
    const int64_t wanted = plan.terms * plan.inner / kReduceChunk;
    plan.chunks = wanted < 1 ? 1 : wanted < kMostReduceChunks ? wanted : kMostReduceChunks;
    if (plan.chunks > plan.terms) plan.chunks = plan.terms;
  }
  plan.tile = 2 * kReduceTile;
  do {
    plan.tile /= 2;
    plan.units = plan.outputs / plan.inner * ((plan.inner + plan.tile - 1) / plan.tile);
  } while (plan.tile > kReduceLanes && plan.units < 2 * threads && threads > 1);
  return plan;
}

// Offset of the index-th element of a nest of loops.
inline int64_t NestOffset(const int64_t* dims, const int64_t* strides, int rank, int64_t index) {
  int64_t offset = 0;
  for (int d = rank - 1; d >= 0; --d) {
    offset += index % dims[d] * strides[d];
    index /= dims[d];
  }
  return offset;
}

// Calls visit(offset) for every element of a nest of loops, in row-major order.
template <typename Visit>
void ForNest(const int64_t* dims, const int64_t* strides, int rank, const Visit& visit) {
  int64_t at[kMaxReduceRuns] = {};
  int64_t offset = 0;
  for (int d = 0; d < rank; ++d) {
    if (dims[d] == 0) return;
  }
  for (;;) {
    visit(offset);
    int d = rank - 1;
    for (; d >= 0; --d) {
      offset += strides[d];
      if (++at[d] < dims[d]) break;
      offset -= strides[d] * dims[d];
      at[d] = 0;
    }
    if (d < 0) return;
  }
}

// Computes units [begin, end) of the plan.
template <typename Op>
void Reduce(const ReducePlan& plan, const typename Op::In* in, typename Op::Out* out, int64_t begin, int64_t end) {
  using In = typename Op::In;
  using Sum = typename Op::Sum;
  if (plan.inner_reduced != 0) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const In* from = in + NestOffset(plan.kept_dims, plan.kept_strides, plan.kept_rank, unit);
      Sum lanes[kReduceLanes];
      for (Sum& lane : lanes) lane = Op::Start();
      ForNest(plan.reduced_dims, plan.reduced_strides, plan.reduced_rank, [&](int64_t offset) {
        const In* row = from + offset;
        int64_t i = 0;
        for (; i + kReduceLanes <= plan.inner; i += kReduceLanes) {
          for (int64_t lane = 0; lane < kReduceLanes; ++lane) lanes[lane] = Op::Add(lanes[lane], row[i + lane]);
        }
        for (int64_t lane = 0; i + lane < plan.inner; ++lane) lanes[lane] = Op::Add(lanes[lane], row[i + lane]);
      });
      for (int64_t half = kReduceLanes / 2; half > 0; half /= 2) {
        for (int64_t lane = 0; lane < half; ++lane) lanes[lane] = Op::Join(lanes[lane], lanes[lane + half]);
      }
      out[unit] = Op::Finish(lanes[0], plan.terms);
    }
    return;
  }
  const int64_t tiles = (plan.inner + plan.tile - 1) / plan.tile;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t row_index = unit / tiles;
    const int64_t column = unit % tiles * plan.tile;
    const int64_t width = plan.inner - column < plan.tile ? plan.inner - column : plan.tile;
    const In* from = in + NestOffset(plan.kept_dims, plan.kept_strides, plan.kept_rank, row_index) + column;
    Sum sums[kReduceTile];
    for (int64_t i = 0; i < width; ++i) sums[i] = Op::Start();
    ForNest(plan.reduced_dims, plan.reduced_strides, plan.reduced_rank, [&](int64_t offset) {
      const In* row = from + offset;
      for (int64_t i = 0; i < width; ++i) sums[i] = Op::Add(sums[i], row[i]);
    });
    typename Op::Out* to = out + row_index * plan.inner + column;
    for (int64_t i = 0; i < width; ++i) to[i] = Op::Finish(sums[i], plan.terms);
  }
}

}  // namespace wherry::math

#endif  // WHERRY_MATH_REDUCE_H_
