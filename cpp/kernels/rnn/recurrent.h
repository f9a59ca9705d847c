// How recurrent layers split their steps over threads.
//
// A step multiplies the state by the same weights as the step before, and at batch 1 reading them is all that takes
// time. So each thread keeps to the same units at every step, with their columns of every gate: it finishes what it has
// multiplied, says so to the others, which need it in their next step, and finds the weights that it read last in its own
// cache. Where the weights are larger than the cache, odd steps go through them backwards.
//
// One row of the state takes a panel of units after another, of all gates at once, and makes the new state of its sums
// while the next panel's weights are on their way.
#ifndef WHERRY_KERNELS_RNN_RECURRENT_H_
#define WHERRY_KERNELS_RNN_RECURRENT_H_

#include <algorithm>
#include <cstring>

#include "kernels/panels.h"
#include "runtime/threads.h"

namespace wherry::kernels {

inline constexpr int kMaxGates = 4;

// Some rows of the batch and some units of each gate.
struct RecurrentPart {
  int64_t index = 0;
  int64_t row_begin = 0;
  int64_t row_end = 0;
  int64_t unit_begin = 0;
  int64_t unit_end = 0;

  int64_t rows() const { return row_end - row_begin; }
  int64_t units() const { return unit_end - unit_begin; }
};

// Sums of some units of one row: those of gate g, in the order of the weights' columns, are at sums + g * stride.
struct GateSums {
  int64_t row;
  int64_t unit;
  int64_t count;
  const float* sums;
  int64_t stride;
};

// Whether a part goes panel by panel.
inline bool TakesPanels(const RecurrentPart& part, int64_t units) {
  return part.rows() == 1 && units % math::kPanelColumns == 0;
}

inline constexpr int64_t kMaxPanelSums = 2 * kMaxGates * math::kPanelColumns;  // of codes of 16 bits

// For each panel of a part's units: product(panel, next, sums) makes its sums, up to kMaxPanelSums of them, and is told
// which panel comes next (or the same, after the last); done(panel, sums) takes them.
template <class Sum, class Product, class Done>
void ForEachPanel(const RecurrentPart& part, bool falling, const Product& product, const Done& done) {
  alignas(64) Sum sums[2][kMaxPanelSums];
  const int64_t first = part.unit_begin / math::kPanelColumns;
  const int64_t last = part.unit_end / math::kPanelColumns - 1;
  const auto panel = [&](int64_t i) { return falling ? first + last - i : i; };
  for (int64_t i = first; i <= last; ++i) {
    product(panel(i), panel(i < last ? i + 1 : i), sums[i % 2]);
    // Only now, as the end of a product waits for weights, not for this.
    if (i > first) done(panel(i - 1), sums[(i + 1) % 2]);
  }
  if (last >= first) done(panel(last), sums[last % 2]);
}

// Fetches a panel's sums over the input, which another core may have made: those of gate g at start + g * units.
inline void FetchSums(const float* start, int64_t units, int gates, int64_t panel) {
  for (int g = 0; g < gates; ++g) __builtin_prefetch(start + g * units + panel * math::kPanelColumns);
}

// The same for sums of floats, which begin as `start` has them for the row: product(panel, sums) adds to sums [gates][16],
// done takes GateSums.
template <class Product, class Done>
void ForEachFloatPanel(const RecurrentPart& part, int64_t units, int gates, const float* start, bool falling,
                       const Product& product, const Done& done) {
  constexpr int64_t kUnits = math::kPanelColumns;
  const auto add = [&](int64_t panel, int64_t next, float* sums) {
    for (int g = 0; g < gates; ++g) {
      std::memcpy(sums + g * kUnits, start + g * units + panel * kUnits, sizeof(float) * kUnits);
    }
    FetchSums(start, units, gates, next);
    product(panel, sums);
  };
  ForEachPanel<float>(part, falling, add, [&](int64_t panel, const float* sums) {
    done(GateSums{part.row_begin, panel * kUnits, kUnits, sums, kUnits});
  });
}

// Parts of a layer's step, at most one for each thread.
struct RecurrentSplit {
  int64_t batch = 0;
  int64_t units = 0;
  int64_t row_parts = 1;
  int64_t unit_parts = 1;

  int64_t count() const { return row_parts * unit_parts; }
  RecurrentPart part(int64_t index) const {
    const int64_t row = index / unit_parts;
    const int64_t unit = index % unit_parts;
    const int64_t blocks = (units + math::kPanelColumns - 1) / math::kPanelColumns;
    const int64_t begin = blocks * unit / unit_parts * math::kPanelColumns;
    const int64_t end = blocks * (unit + 1) / unit_parts * math::kPanelColumns;
    return {index, batch * row / row_parts, batch * (row + 1) / row_parts, begin, end < units ? end : units};
  }
};

// Whole panels of units for each thread; rows too where there are not enough of those. gates: how many columns of the
// weights a unit has.
inline RecurrentSplit SplitRecurrent(int64_t batch, int64_t units, int64_t gates, int threads) {
  RecurrentSplit split;
  split.batch = batch;
  split.units = units;
  if (threads < 2 || !math::PaysToSplit(batch, units, gates * units)) return split;
  const int64_t blocks = (units + math::kPanelColumns - 1) / math::kPanelColumns;
  split.unit_parts = blocks < threads ? blocks : threads;
  split.row_parts = threads / split.unit_parts;
  if (split.row_parts > batch) split.row_parts = batch;
  return split;
}

// What a part needs of others: those that have the same rows make the rest of the state that its next step reads.
class OtherParts {
 public:
  OtherParts(const RecurrentSplit& split, int64_t index, Progress& progress)
      : progress_(progress),
        first_(index / split.unit_parts * split.unit_parts),
        index_(index),
        end_(first_ + split.unit_parts) {}

  // This part has come to `point`.
  void Reach(int64_t point) const {
    if (end_ - first_ > 1) progress_.Reach(index_, point);
  }
  // Returns when they have.
  void Await(int64_t point) const {
    for (int64_t i = first_; i < end_; ++i) {
      if (i != index_) progress_.Wait(i, point);
    }
  }

 private:
  Progress& progress_;
  int64_t first_;
  int64_t index_;
  int64_t end_;
};

// The product of a part's rows of the state [batch, units] with its units' columns of gates [first, end).
class PartProduct {
 public:
  PartProduct(const RecurrentPart& part, int64_t units, int first_gate, int end_gate, bool dequantizes, Isa isa)
      : part_(part), units_(units), isa_(isa), count_(end_gate - first_gate) {
    for (int i = 0; i < count_; ++i) {
      const int64_t column = (first_gate + i) * units;
      plans_[i] = math::PlanGemm(part.rows(), units, column + part.unit_begin, column + part.unit_end, dequantizes,
                                 isa, 1);
    }
  }

  // out [batch, ldc]; the part's rows and columns of it are written. scratch: RecurrentScratchBytes.
  void Run(const float* state, const math::PanelMatrix& weights, const math::Epilogue& epilogue, float* out,
           int64_t ldc, bool falling, std::byte* scratch) {
    const math::RowSource rows = math::RowSource::Matrix(state + part_.row_begin * units_, units_);
    for (int i = 0; i < count_; ++i) {
      math::GemmPlan& plan = plans_[falling ? count_ - 1 - i : i];
      plan.falling = falling;
      math::RunGemmTask(plan, rows, weights, epilogue, out + part_.row_begin * ldc, ldc, 0, scratch);
    }
  }

  // For parts that take panels: adds to sums [gates][16] of the units' panel `panel`. Gates begin with the first.
  void RunPanel(const float* state, const math::PanelMatrix& weights, int64_t panel, float* sums, std::byte* scratch) const {
    math::AddRowProduct(state + part_.row_begin * units_, units_, weights, {panel, units_ / math::kPanelColumns, count_},
                        sums, isa_, scratch);
  }

 private:
  RecurrentPart part_;
  int64_t units_;
  Isa isa_;
  int count_;
  math::GemmPlan plans_[kMaxGates];
};

// The longest of as few parts as `most` steps in each allow, where all are about as long.
inline int64_t EvenParts(int64_t steps, int64_t most) {
  const int64_t parts = (steps + most - 1) / most;
  return (steps + parts - 1) / parts;
}

inline constexpr int64_t kSequenceRows = 128;  // rows of an input product, where there are as many

// Steps whose input products are made at once, where there is memory for their sums.
inline int64_t MostSequenceSteps(int64_t steps, int64_t batch) {
  const int64_t most = batch == 0 || batch > kSequenceRows ? 1 : kSequenceRows / batch;
  return steps > 0 ? EvenParts(steps, most) : most;
}

// The next best where there is not, down to 1.
inline int64_t FewerSteps(int64_t steps, int64_t chunk) { return chunk > 2 ? EvenParts(std::max<int64_t>(steps, 1), chunk / 2) : 1; }

// Scratch memory for the products of one part.
inline size_t RecurrentScratchBytes(const RecurrentSplit& split, bool dequantizes, Isa isa) {
  const int64_t columns = split.units + math::kPanelColumns - 1;  // as many panels as those of a gate may touch
  const size_t bytes = math::PlanGemm(split.batch, split.units, 0, columns, dequantizes, isa, 1).scratch_bytes;
  const size_t row_bytes = dequantizes ? math::AddRowScratchBytes(kMaxGates) : 0;
  return bytes > row_bytes ? bytes : row_bytes;
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_RNN_RECURRENT_H_
