// A pack's metadata, checked: after Open() every index, offset and size in it can be used without a further check.
#ifndef WHERRY_RUNTIME_PACK_H_
#define WHERRY_RUNTIME_PACK_H_

#include "platform/file.h"
#include "runtime/pack_format.h"
#include "runtime/span.h"
#include "runtime/status.h"

namespace wherry {

// Records of one section. They may be larger than T in a file that a newer minor version wrote.
template <typename T>
class Records {
 public:
  Records() = default;
  Records(const std::byte* data, uint32_t stride, uint64_t count) : data_(data), stride_(stride), count_(count) {}
  uint64_t size() const { return count_; }
  const T& operator[](uint64_t i) const { return *reinterpret_cast<const T*>(data_ + i * stride_); }

 private:
  const std::byte* data_ = nullptr;
  uint32_t stride_ = 0;
  uint64_t count_ = 0;
};

class Pack {
 public:
  // Reads and checks the metadata of an opened file, which must stay open. Copies no weight.
  Status Open(const platform::File& file, ErrorSink& errors);

  StringView String(format::StringRecord record) const {
    return {reinterpret_cast<const char*>(&strings[record.offset]), record.size};
  }
  // The tensor of whose rows a tensor is some columns; kNone where its rows lie one behind the other.
  uint32_t WholeOf(uint32_t tensor) const {
    const format::TensorRecord& record = tensors[tensor];
    return static_cast<format::Place>(record.place) == format::Place::kArena ? record.owner - 1 : format::kNone;
  }
  // Elements from one row to the next.
  int64_t PitchOf(const format::TensorRecord& tensor) const {
    const bool part = static_cast<format::Place>(tensor.place) == format::Place::kArena && tensor.owner != 0;
    const format::TensorRecord& whole = part ? tensors[tensor.owner - 1] : tensor;
    return whole.rank == 0 ? 1 : ints[uint64_t{whole.dims} + whole.rank - 1];
  }
  uint64_t metadata_bytes() const { return metadata_.size(); }

  Records<char> strings;
  Records<int64_t> ints;
  Records<uint32_t> indexes;
  Records<format::TensorRecord> tensors;
  Records<format::QuantRecord> quants;
  Records<format::AttributeRecord> attributes;
  Records<format::StepRecord> steps;
  Records<format::StringRecord> kernels;
  Records<format::PartitionRecord> partitions;
  Records<format::SegmentRecord> segments;
  Records<format::SignatureRecord> inputs;
  Records<format::SignatureRecord> outputs;
  Records<format::PlanRecord> plan;
  Records<char> provenance;

 private:
  Status ReadHeader(const platform::File& file, ErrorSink& errors, format::Header* header);
  Status FindSections(ErrorSink& errors);
  template <typename T>
  Status Take(format::SectionKind kind, Records<T>* records, ErrorSink& errors);
  Status Check(uint64_t file_bytes, ErrorSink& errors) const;
  Status CheckTensor(uint64_t i, ErrorSink& errors) const;
  Status CheckColumns(const format::TensorRecord& tensor, ErrorSink& errors) const;
  Status CheckQuant(const format::TensorRecord& tensor, ErrorSink& errors) const;
  Status CheckStep(uint64_t i, ErrorSink& errors) const;
  Status CheckOverlap(const format::StepRecord& step, ErrorSink& errors) const;
  Status CheckPartitions(ErrorSink& errors) const;
  bool InStrings(format::StringRecord record) const {
    return record.offset <= strings.size() && record.size <= strings.size() - record.offset;
  }
  static bool InRange(uint64_t first, uint64_t count, uint64_t size) { return first <= size && count <= size - first; }

  Array<std::byte> metadata_;
  format::Section sections_[format::kLastSection + 1] = {};
};

}  // namespace wherry

#endif  // WHERRY_RUNTIME_PACK_H_
