// A pack's metadata seen through any of the readers: what the checks and the walk below work on.
//
// A view names the types of its lists (Ints of int64_t, Indexes of uint32_t) and has these functions; those that return
// bool are false where an index in the metadata points outside:
//   uint64_t tensors(), steps(), kernels(), partitions(), segments(), inputs(), outputs(), arena_bytes()
//   bool Tensor(i, TensorView*), Step(i, StepView*), Attribute(i, k, AttributeView*), Kernel(i, StringView*),
//        Partition(i, PartitionView*), Input(i, SignatureView*), Output(i, SignatureView*)
//   SegmentView Segment(i); format::Place PlaceOf(tensor); uint32_t OwnerOf(tensor)
#ifndef BENCHMARKS_METADATA_VIEWS_H_
#define BENCHMARKS_METADATA_VIEWS_H_

#include <cstddef>
#include <cstdint>

#include "runtime/pack_format.h"
#include "runtime/span.h"

namespace wherry::bench {

struct QuantView {
  uint8_t format, bits, axis;
  uint64_t channels, scale, offset;
};

template <typename Ints>
struct TensorView {
  StringView name;
  uint8_t dtype, place, layout;
  Ints dims;
  uint32_t owner;
  bool quantized;
  QuantView quant;
  uint64_t offset, bytes;
};

template <typename Indexes>
struct StepView {
  StringView name;
  uint32_t kernel;
  Indexes inputs, outputs;
  uint32_t attributes;
};

template <typename Ints>
struct AttributeView {
  StringView name;
  uint8_t kind;
  uint64_t value;
  StringView text;
  Ints ints;
};

template <typename Indexes>
struct PartitionView {
  uint32_t first_step, num_steps;
  Indexes segments;
};

struct SegmentView {
  uint64_t offset, bytes, hash;
  uint32_t flags;
};

struct SignatureView {
  StringView name;
  uint32_t tensor;
};

// Reads everything that the executor reads when it builds its tables, and once what it reads in a run. The sum must be
// the same whichever reader it comes from.
class Sum {
 public:
  void Add(uint64_t value) { sum_ = (sum_ ^ value) * 0x9E3779B185EBCA87U; }
  void Add(StringView text) {
    Add(text.size);
    if (text.size > 0) Add(static_cast<uint64_t>(static_cast<uint8_t>(text.data[text.size - 1])));
  }
  template <typename... Numbers>
  void AddAll(Numbers... numbers) {
    (Add(static_cast<uint64_t>(numbers)), ...);
  }
  template <typename List>
  void AddList(const List& values) {
    Add(values.size());
    for (uint64_t i = 0; i < values.size(); ++i) Add(static_cast<uint64_t>(values[i]));
  }
  uint64_t value() const { return sum_; }

 private:
  uint64_t sum_ = 0;
};

template <typename View>
uint64_t Walk(const View& view) {
  Sum sum;
  for (uint64_t i = 0; i < view.tensors(); ++i) {
    TensorView<typename View::Ints> t;
    if (!view.Tensor(i, &t)) return 0;
    sum.Add(t.name);
    sum.AddList(t.dims);
    sum.AddAll(t.dtype, t.place, t.layout, t.owner, t.offset, t.bytes, t.quantized);
    if (!t.quantized) continue;
    sum.AddAll(t.quant.format, t.quant.bits, t.quant.axis, t.quant.channels, t.quant.scale, t.quant.offset);
  }
  for (uint64_t i = 0; i < view.kernels(); ++i) {
    StringView key;
    if (!view.Kernel(i, &key)) return 0;
    sum.Add(key);
  }
  for (uint64_t i = 0; i < view.steps(); ++i) {
    StepView<typename View::Indexes> s;
    if (!view.Step(i, &s)) return 0;
    sum.Add(s.name);
    sum.Add(uint64_t{s.kernel});
    sum.AddList(s.inputs);
    sum.AddList(s.outputs);
    for (uint32_t k = 0; k < s.attributes; ++k) {
      AttributeView<typename View::Ints> a;
      if (!view.Attribute(i, k, &a)) return 0;
      sum.Add(a.name);
      sum.Add(uint64_t{a.kind});
      if (a.kind < 2) sum.Add(a.value);
      if (a.kind == 2) sum.Add(a.text);
      if (a.kind == 3) sum.AddList(a.ints);
    }
  }
  for (uint64_t i = 0; i < view.partitions(); ++i) {
    PartitionView<typename View::Indexes> p;
    if (!view.Partition(i, &p)) return 0;
    sum.AddList(p.segments);
    for (uint64_t s = p.first_step; s < uint64_t{p.first_step} + p.num_steps; ++s) {
      StepView<typename View::Indexes> step;
      if (!view.Step(s, &step)) return 0;
      for (uint64_t k = 0; k < step.inputs.size(); ++k) {
        const uint32_t input = step.inputs[k];
        if (view.PlaceOf(input) == format::Place::kSegment) sum.Add(uint64_t{view.OwnerOf(input)});
      }
    }
  }
  for (uint64_t i = 0; i < view.segments(); ++i) {
    const SegmentView s = view.Segment(i);
    sum.AddAll(s.offset, s.bytes, s.hash, s.flags);
  }
  for (uint64_t i = 0; i < view.inputs() + view.outputs(); ++i) {
    SignatureView s;
    if (i < view.inputs() ? !view.Input(i, &s) : !view.Output(i - view.inputs(), &s)) return 0;
    sum.Add(s.name);
    sum.Add(uint64_t{s.tensor});
  }
  sum.Add(view.arena_bytes());
  return sum.value();
}

}  // namespace wherry::bench

#endif  // BENCHMARKS_METADATA_VIEWS_H_
