#include "math/broadcast.h"

#include <algorithm>

namespace wherry::math {

bool MakeBroadcast(const Span<const int64_t>* shapes, int inputs, Span<const int64_t> out, Broadcast* broadcast,
                   const int64_t* pitches, int64_t out_pitch) {
  const int rank = static_cast<int>(out.size());
  if (rank > kMaxBroadcastRank || inputs > kMaxBroadcastInputs) return false;
  int64_t strides[kMaxBroadcastInputs][kMaxBroadcastRank] = {};
  bool reached[kMaxBroadcastRank] = {};  // some input has the output's size there
  for (int k = 0; k < inputs; ++k) {
    const int offset = rank - static_cast<int>(shapes[k].size());
    if (offset < 0) return false;
    int64_t stride = 1;
    for (int d = rank - 1; d >= offset; --d) {
      const int64_t dim = shapes[k][static_cast<size_t>(d - offset)];
      const int64_t wanted = out[static_cast<size_t>(d)];
      if (dim != wanted && dim != 1) return false;
      reached[d] = reached[d] || dim == wanted;
      strides[k][d] = dim == 1 ? 0 : stride;
      stride *= d == rank - 1 && pitches != nullptr ? pitches[k] : dim;
    }
  }
  Broadcast result;
  if (rank > 0 && out_pitch != out[static_cast<size_t>(rank - 1)]) result.out_pitch = out_pitch;
  result.inputs = inputs;
  result.count = 1;
  for (int d = 0; d < rank; ++d) {
    const int64_t dim = out[static_cast<size_t>(d)];
    if (!reached[d] && dim != 1) return false;
    result.count *= dim;
    const bool keeps_row = result.out_pitch != 0 && d == rank - 1;
    if (dim == 1 && !keeps_row) continue;
    const int last = result.rank - 1;
    bool merges = last >= 0 && !keeps_row;
    for (int k = 0; merges && k < inputs; ++k) merges = result.strides[k][last] == strides[k][d] * dim;
    const int target = merges ? last : result.rank++;
    result.dims[target] = merges ? result.dims[target] * dim : dim;
    for (int k = 0; k < inputs; ++k) result.strides[k][target] = strides[k][d];
  }
  if (result.rank == 0) {
    result.rank = 1;
    result.dims[0] = 1;
  }
  *broadcast = result;
  return true;
}

namespace {

// Rows of up to kShortRow elements are too short for a call each: a few of them are laid out in a tile, as one row.
// Where an operand's rows have one element, writing it to the tile costs as much as the call from kShortRepeat on.
constexpr int64_t kShortRow = 256;
constexpr int64_t kShortRepeat = 32;
constexpr int64_t kShortGapped = 64;  // rows with gaps between them would all be copied: from here on a call each is less
constexpr int64_t kTile = 512;
constexpr size_t kTileWidth = 8;  // bytes of the widest element

// tile[r * n + i] = from[r * stride + i * step].
template <typename T>
void FillTile(const void* from, int64_t stride, int64_t step, int64_t rows, int64_t n, void* tile) {
  const T* row = static_cast<const T*>(from);
  T* to = static_cast<T*>(tile);
  for (int64_t r = 0; r < rows; ++r, row += stride, to += n) {
    if (step == 0) {
      const T value = *row;
      for (int64_t i = 0; i < n; ++i) to[i] = value;
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] = row[i];
    }
  }
}

void FillTile(size_t width, const void* from, int64_t stride, int64_t step, int64_t rows, int64_t n, void* tile) {
  switch (width) {
    case 1: return FillTile<uint8_t>(from, stride, step, rows, n, tile);
    case 4: return FillTile<uint32_t>(from, stride, step, rows, n, tile);
    default: return FillTile<uint64_t>(from, stride, step, rows, n, tile);
  }
}

// Where the walk is, and what it calls.
class RowWalk {
 public:
  RowWalk(const Broadcast& broadcast, const void* const* in, const size_t* widths, int64_t begin)
      : broadcast_(broadcast), in_(in), widths_(widths), last_(broadcast.rank - 1) {
    for (int d = last_; d >= 0; --d) {
      at_[d] = begin % broadcast.dims[d];
      begin /= broadcast.dims[d];
    }
    for (int k = 0; k < broadcast.inputs; ++k) {
      step_[k] = broadcast.strides[k][last_];
      for (int d = 0; d < last_; ++d) offset_[k] += at_[d] * broadcast.strides[k][d];
    }
  }

  // Elements that are left of the row.
  int64_t left() const { return broadcast_.dims[last_] - at_[last_]; }

  // Rows that are left of those that share the dims above, when they should share tiles; else 0.
  int64_t tiled_rows() const {
    const int64_t n = broadcast_.dims[last_];
    if (last_ == 0 || at_[last_] != 0 || n > kShortRow || broadcast_.out_pitch != 0) return 0;
    for (int k = 0; k < broadcast_.inputs; ++k) {
      const bool repeats = step_[k] == 0 && broadcast_.strides[k][last_ - 1] != 0;
      const bool gaps = broadcast_.strides[k][last_ - 1] > n;
      if (gaps && n >= kShortGapped) return 0;
      if (widths_[k] > kTileWidth || (repeats && n > kShortRepeat)) return 0;
    }
    return broadcast_.dims[last_ - 1] - at_[last_ - 1];
  }

  void Row(int64_t n, void* out, RowFunction row) {
    const void* sources[kMaxBroadcastInputs];
    for (int k = 0; k < broadcast_.inputs; ++k) sources[k] = Source(k);
    row(sources, step_, out, n);
    at_[last_] += n;
    if (at_[last_] == broadcast_.dims[last_]) {
      at_[last_] = 0;
      NextRows(1);
    }
  }

  void Tiles(int64_t rows, char* out, size_t out_width, RowFunction row) {
    const int64_t n = broadcast_.dims[last_];
    const int64_t most = kTile / n;
    alignas(64) unsigned char tiles[kMaxBroadcastInputs][static_cast<size_t>(kTile) * kTileWidth];
    bool repeats[kMaxBroadcastInputs] = {};  // a tile whose rows are all the same is filled once
    while (rows > 0) {
      const int64_t count = rows < most ? rows : most;
      const void* sources[kMaxBroadcastInputs];
      int64_t steps[kMaxBroadcastInputs];
      for (int k = 0; k < broadcast_.inputs; ++k) {
        const int64_t stride = broadcast_.strides[k][last_ - 1];
        const bool as_it_is = step_[k] == 0 ? stride == 0 : stride == n;
        if (!as_it_is && !repeats[k]) FillTile(widths_[k], Source(k), stride, step_[k], count, n, tiles[k]);
        repeats[k] = stride == 0;
        sources[k] = as_it_is ? Source(k) : tiles[k];
        steps[k] = as_it_is ? step_[k] : 1;
      }
      row(sources, steps, out, count * n);
      rows -= count;
      out += static_cast<size_t>(count * n) * out_width;
      NextRows(count);
    }
  }

 private:
  const void* Source(int k) const {
    return static_cast<const char*>(in_[k]) + static_cast<size_t>(offset_[k] + at_[last_] * step_[k]) * widths_[k];
  }

  // `count` rows on, at most to the first that has another place in the dims above.
  void NextRows(int64_t count) {
    for (int d = last_ - 1; d >= 0; --d, count = 1) {
      for (int k = 0; k < broadcast_.inputs; ++k) offset_[k] += broadcast_.strides[k][d] * count;
      at_[d] += count;
      if (at_[d] < broadcast_.dims[d]) break;
      for (int k = 0; k < broadcast_.inputs; ++k) offset_[k] -= broadcast_.strides[k][d] * broadcast_.dims[d];
      at_[d] = 0;
    }
  }

  const Broadcast& broadcast_;
  const void* const* in_;
  const size_t* widths_;
  const int last_;
  int64_t at_[kMaxBroadcastRank] = {};
  int64_t offset_[kMaxBroadcastInputs] = {};  // of the row's first element
  int64_t step_[kMaxBroadcastInputs] = {};
};

}  // namespace

void ForRows(const Broadcast& broadcast, const void* const* in, const size_t* widths, void* out, size_t out_width,
             int64_t begin, int64_t end, RowFunction row) {
  if (begin >= end) return;
  RowWalk walk(broadcast, in, widths, begin);
  const int64_t length = broadcast.dims[broadcast.rank - 1];
  while (begin < end) {
    const int64_t gaps = broadcast.out_pitch == 0 ? 0 : begin / length * (broadcast.out_pitch - length);
    char* to = static_cast<char*>(out) + static_cast<size_t>(begin + gaps) * out_width;
    const int64_t rows = std::min(walk.tiled_rows(), (end - begin) / length);
    if (rows > 1) {
      walk.Tiles(rows, to, out_width, row);
      begin += rows * length;
    } else {
      const int64_t n = std::min(walk.left(), end - begin);
      walk.Row(n, to, row);
      begin += n;
    }
  }
}

}  // namespace wherry::math
