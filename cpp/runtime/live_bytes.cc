#include "runtime/live_bytes.h"

#include <algorithm>
#include <cstring>

namespace wherry {
namespace {

constexpr uint32_t kNever = 0xFFFFFFFFU;

// Whether a step writes all of its output, and not some columns beside those that steps before it wrote.
bool WritesAll(const Pack& pack, const format::StepRecord& step) {
  for (uint64_t a = 0; a < step.num_attributes; ++a) {
    const format::AttributeRecord& attribute = pack.attributes[step.attributes + a];
    if (pack.String(attribute.name) == StringView(format::kFirstColumn)) return attribute.value == 0;
  }
  return true;
}

}  // namespace

ArenaRange LiveBytes::RangeOf(uint32_t tensor) const {
  const format::TensorRecord& record = pack_->tensors[tensor];
  if (static_cast<format::Place>(record.place) != format::Place::kArena) return {0, 0};
  const format::TensorRecord& whole = record.owner != 0 ? pack_->tensors[record.owner - 1] : record;
  return {whole.offset, whole.offset + whole.bytes};
}

bool LiveBytes::Start(const Pack& pack) {
  pack_ = &pack;
  size_ = 0;
  if (!first_writers_.Allocate(static_cast<size_t>(pack.tensors.size()))) return false;
  for (uint32_t& step : first_writers_.span()) step = kNever;
  for (uint32_t s = 0; s < pack.steps.size(); ++s) {
    const format::StepRecord& step = pack.steps[s];
    for (uint64_t k = 0; k < step.num_outputs; ++k) {
      const uint32_t whole = pack.WholeOf(pack.indexes[step.outputs + k]);
      if (whole != format::kNone && first_writers_[whole] == kNever) first_writers_[whole] = s;
    }
  }
  for (uint64_t i = 0; i < pack.outputs.size(); ++i) Add(RangeOf(pack.outputs[i].tensor));
  return true;
}

void LiveBytes::Enter(uint64_t s) {
  const format::StepRecord& step = pack_->steps[s];
  for (uint64_t k = 0; k < step.num_outputs; ++k) Add(RangeOf(pack_->indexes[step.outputs + k]));
  for (uint64_t k = 0; k < step.num_inputs; ++k) Add(RangeOf(pack_->indexes[step.inputs + k]));
}

void LiveBytes::Leave(uint64_t s) {
  const format::StepRecord& step = pack_->steps[s];
  for (uint64_t k = 0; k < step.num_outputs && WritesAll(*pack_, step); ++k) {
    const uint32_t tensor = pack_->indexes[step.outputs + k];
    const uint32_t whole = pack_->WholeOf(tensor);
    if (whole == format::kNone || first_writers_[whole] == s) Remove(RangeOf(tensor));
  }
  for (uint64_t k = 0; k < step.num_inputs; ++k) Add(RangeOf(pack_->indexes[step.inputs + k]));
}

void LiveBytes::Add(ArenaRange range) {
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

void LiveBytes::Remove(ArenaRange range) {
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

void LiveBytes::Replace(size_t first, size_t last, const ArenaRange* by, size_t count) {
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

}  // namespace wherry
