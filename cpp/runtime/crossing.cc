#include "runtime/crossing.h"

#include <algorithm>

namespace wherry {
namespace {

// Of bytes, in a fixed table. Where they would be in more pieces than it has room for, it takes all between them too.
class ByteSet {
 public:
  size_t size() const { return size_; }
  const ArenaRange& operator[](size_t i) const { return ranges_[i]; }

  void Add(ArenaRange range) {
    if (range.begin == range.end) return;
    size_t first = 0;
    while (first < size_ && ranges_[first].end < range.begin) ++first;
    size_t last = first;
    for (; last < size_ && ranges_[last].begin <= range.end; ++last) {
      range.begin = std::min(range.begin, ranges_[last].begin);
      range.end = std::max(range.end, ranges_[last].end);
    }
    Replace(first, last, &range, 1);
  }

  void Remove(ArenaRange range) {
    size_t first = 0;
    while (first < size_ && ranges_[first].end <= range.begin) ++first;
    size_t last = first;
    ArenaRange rest[2];
    size_t rests = 0;
    for (; last < size_ && ranges_[last].begin < range.end; ++last) {
      if (ranges_[last].begin < range.begin) rest[rests++] = {ranges_[last].begin, range.begin};
      if (ranges_[last].end > range.end) rest[rests++] = {range.end, ranges_[last].end};
    }
    Replace(first, last, rest, rests);
  }

 private:
  static constexpr size_t kMost = 512;

  void Replace(size_t first, size_t last, const ArenaRange* by, size_t count) {
    if (size_ - (last - first) + count > kMost) {
      const uint64_t begin = first > 0 ? ranges_[0].begin : by[0].begin;
      const uint64_t end = last < size_ ? ranges_[size_ - 1].end : by[count - 1].end;
      ranges_[0] = {begin, end};
      size_ = 1;
      return;
    }
    std::memmove(ranges_ + first + count, ranges_ + last, (size_ - last) * sizeof(ArenaRange));
    std::copy_n(by, count, ranges_ + first);
    size_ = size_ - (last - first) + count;
  }

  ArenaRange ranges_[kMost];
  size_t size_ = 0;
};

// Whether a step writes all of its output, and not some columns beside those that steps before it wrote.
bool WritesAll(const Pack& pack, const format::StepRecord& step) {
  for (uint64_t a = 0; a < step.num_attributes; ++a) {
    const format::AttributeRecord& attribute = pack.attributes[step.attributes + a];
    if (pack.String(attribute.name) == StringView(format::kFirstColumn)) return attribute.value == 0;
  }
  return true;
}

// Calls visit(partitions done, bytes that are alive then) from the last partition to the first.
template <typename Visit>
void ForEachEnd(const Pack& pack, const Visit& visit) {
  ByteSet alive;
  const auto range = [&pack](uint32_t tensor, ArenaRange* to) {
    const format::TensorRecord& record = pack.tensors[tensor];
    *to = {record.offset, record.offset + record.bytes};
    return static_cast<format::Place>(record.place) == format::Place::kArena;
  };
  ArenaRange bytes;
  for (uint64_t i = 0; i < pack.outputs.size(); ++i) {
    if (range(pack.outputs[i].tensor, &bytes)) alive.Add(bytes);
  }
  for (uint64_t p = pack.partitions.size(); p > 0; --p) {
    visit(p, alive);
    const format::PartitionRecord& partition = pack.partitions[p - 1];
    for (uint64_t s = uint64_t{partition.first_step} + partition.num_steps; s > partition.first_step; --s) {
      const format::StepRecord& step = pack.steps[s - 1];
      for (uint64_t k = 0; k < step.num_outputs && WritesAll(pack, step); ++k) {
        if (range(pack.indexes[step.outputs + k], &bytes)) alive.Remove(bytes);
      }
      for (uint64_t k = 0; k < step.num_inputs; ++k) {
        if (range(pack.indexes[step.inputs + k], &bytes)) alive.Add(bytes);
      }
    }
  }
}

}  // namespace

bool Crossing::Build(const Pack& pack) {
  const uint64_t partitions = pack.partitions.size();
  if (!first_.Allocate(static_cast<size_t>(partitions) + 2)) return false;
  uint64_t total = 0;
  ForEachEnd(pack, [&](uint64_t done, const ByteSet& alive) {
    first_[done + 1] = static_cast<uint32_t>(alive.size());
    total += alive.size();
  });
  if (total > UINT32_MAX || !ranges_.Allocate(static_cast<size_t>(total))) return false;
  for (uint64_t done = 1; done <= partitions; ++done) first_[done + 1] += first_[done];
  ForEachEnd(pack, [this](uint64_t done, const ByteSet& alive) {
    for (size_t i = 0; i < alive.size(); ++i) ranges_[first_[done] + i] = alive[i];
  });
  return true;
}

}  // namespace wherry
