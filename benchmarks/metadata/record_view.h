// A view (views.h) of records that name strings and lists by index: of wherry::Pack, and of the structs schema.
#ifndef BENCHMARKS_METADATA_RECORD_VIEW_H_
#define BENCHMARKS_METADATA_RECORD_VIEW_H_

#include "runtime/pack.h"
#include "views.h"

namespace wherry::bench {

// Consecutive entries of a section.
template <typename T>
class Run {
 public:
  Run() = default;
  Run(const Records<T>* records, uint64_t first, uint64_t count) : records_(records), first_(first), count_(count) {}
  uint64_t size() const { return count_; }
  T operator[](uint64_t i) const { return (*records_)[first_ + i]; }

 private:
  const Records<T>* records_ = nullptr;
  uint64_t first_ = 0;
  uint64_t count_ = 0;
};

// Source has the public Records of wherry::Pack. `kChecked`: its indexes have been checked already.
template <typename Source, bool kChecked>
class RecordView {
 public:
  using Ints = Run<int64_t>;
  using Indexes = Run<uint32_t>;

  explicit RecordView(const Source& source) : s_(source) {}

  uint64_t tensors() const { return s_.tensors.size(); }
  uint64_t steps() const { return s_.steps.size(); }
  uint64_t kernels() const { return s_.kernels.size(); }
  uint64_t partitions() const { return s_.partitions.size(); }
  uint64_t segments() const { return s_.segments.size(); }
  uint64_t inputs() const { return s_.inputs.size(); }
  uint64_t outputs() const { return s_.outputs.size(); }
  uint64_t arena_bytes() const { return s_.plan[0].arena_bytes; }

  bool Tensor(uint64_t i, TensorView<Ints>* to) const {
    const format::TensorRecord& t = s_.tensors[i];
    if (!Text(t.name, &to->name) || !InRange(t.dims, t.rank, s_.ints.size())) return false;
    to->dtype = t.dtype;
    to->place = t.place;
    to->layout = t.layout;
    to->dims = {&s_.ints, t.dims, t.rank};
    to->owner = t.owner;
    to->offset = t.offset;
    to->bytes = t.bytes;
    to->quantized = t.quant != format::kNone;
    if (!to->quantized) return true;
    if (!kChecked && t.quant >= s_.quants.size()) return false;
    const format::QuantRecord& q = s_.quants[t.quant];
    to->quant = {q.format, q.bits, q.axis, q.channels, q.scale, q.offset};
    return true;
  }
  bool Step(uint64_t i, StepView<Indexes>* to) const {
    const format::StepRecord& s = s_.steps[i];
    to->kernel = s.kernel;
    to->inputs = {&s_.indexes, s.inputs, s.num_inputs};
    to->outputs = {&s_.indexes, s.outputs, s.num_outputs};
    to->attributes = s.num_attributes;
    return Text(s.name, &to->name) && InRange(s.inputs, s.num_inputs, s_.indexes.size()) &&
           InRange(s.outputs, s.num_outputs, s_.indexes.size()) &&
           InRange(s.attributes, s.num_attributes, s_.attributes.size());
  }
  bool Attribute(uint64_t step, uint64_t k, AttributeView<Ints>* to) const {
    const format::AttributeRecord& a = s_.attributes[s_.steps[step].attributes + k];
    to->kind = a.kind;
    to->value = a.value;
    if (a.kind == 2) {
      if (!kChecked && (a.value > s_.strings.size() || a.size > s_.strings.size() - a.value)) return false;
      to->text = {reinterpret_cast<const char*>(&s_.strings[a.value]), a.size};
    }
    if (a.kind == 3) {
      if (!InRange(a.value, a.size, s_.ints.size())) return false;
      to->ints = {&s_.ints, a.value, a.size};
    }
    return Text(a.name, &to->name);
  }
  bool Kernel(uint64_t i, StringView* to) const { return Text(s_.kernels[i], to); }
  bool Partition(uint64_t i, PartitionView<Indexes>* to) const {
    const format::PartitionRecord& p = s_.partitions[i];
    to->first_step = p.first_step;
    to->num_steps = p.num_steps;
    to->segments = {&s_.indexes, p.segments, p.num_segments};
    return InRange(p.segments, p.num_segments, s_.indexes.size());
  }
  SegmentView Segment(uint64_t i) const {
    const format::SegmentRecord& s = s_.segments[i];
    return {s.offset, s.bytes, s.hash, s.flags};
  }
  bool Input(uint64_t i, SignatureView* to) const { return Signature(s_.inputs[i], to); }
  bool Output(uint64_t i, SignatureView* to) const { return Signature(s_.outputs[i], to); }
  format::Place PlaceOf(uint32_t tensor) const { return static_cast<format::Place>(s_.tensors[tensor].place); }
  uint32_t OwnerOf(uint32_t tensor) const { return s_.tensors[tensor].owner; }

 private:
  static bool InRange(uint64_t first, uint64_t count, uint64_t size) {
    return kChecked || (first <= size && count <= size - first);
  }
  bool Text(format::StringRecord record, StringView* to) const {
    if (!InRange(record.offset, record.size, s_.strings.size())) return false;
    *to = {reinterpret_cast<const char*>(&s_.strings[record.offset]), record.size};
    return true;
  }
  bool Signature(const format::SignatureRecord& record, SignatureView* to) const {
    to->tensor = record.tensor;
    return Text(record.name, &to->name);
  }

  const Source& s_;
};

}  // namespace wherry::bench

#endif  // BENCHMARKS_METADATA_RECORD_VIEW_H_
