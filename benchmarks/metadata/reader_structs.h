// FlatBuffers as one table with vectors of structs (structs.fbs).
#include "checks.h"
#include "record_view.h"
#include "structs_generated.h"

namespace wherry::bench {

// The structs have the very layout of the records, so the records' type stands for them.
template <typename Record, typename Struct>
Records<Record> RecordsOf(const flatbuffers::Vector<const Struct*>* vector) {
  static_assert(sizeof(Record) == sizeof(Struct) && alignof(Record) == alignof(Struct));
  return {reinterpret_cast<const std::byte*>(vector->Data()), sizeof(Record), vector->size()};
}

template <typename T>
Records<T> ScalarsOf(const flatbuffers::Vector<T>* vector) {
  return {reinterpret_cast<const std::byte*>(vector->Data()), sizeof(T), vector->size()};
}

struct Structs {
  Records<uint8_t> strings;
  Records<int64_t> ints;
  Records<uint32_t> indexes;
  Records<format::TensorRecord> tensors;
  Records<format::QuantRecord> quants;
  Records<format::AttributeRecord> attributes;
  Records<format::StepRecord> steps;
  Records<format::StringRecord> kernels;
  Records<format::PartitionRecord> partitions;
  Records<format::SegmentRecord> segments;
  Records<format::SignatureRecord> inputs, outputs;
  Records<format::PlanRecord> plan;
};

class Reader {
 public:
  Status Open(const platform::File& file, ErrorSink& errors) {
    WHERRY_RETURN_IF_ERROR(ReadContainer(file, errors, &metadata_));
    const auto* bytes = reinterpret_cast<const uint8_t*>(metadata_.data());
    if (metadata_.size() >= FLATBUFFERS_MAX_BUFFER_SIZE) return Corrupt(errors, "its metadata is too large");
    flatbuffers::Verifier verifier(bytes, metadata_.size());
    if (!structs::VerifyPackBuffer(verifier)) return Corrupt(errors, "its metadata makes no sense");
    const structs::Pack& pack = *structs::GetPack(bytes);
    s_.strings = ScalarsOf(pack.strings());
    s_.ints = ScalarsOf(pack.ints());
    s_.indexes = ScalarsOf(pack.indexes());
    s_.tensors = RecordsOf<format::TensorRecord>(pack.tensors());
    s_.quants = RecordsOf<format::QuantRecord>(pack.quants());
    s_.attributes = RecordsOf<format::AttributeRecord>(pack.attributes());
    s_.steps = RecordsOf<format::StepRecord>(pack.steps());
    s_.kernels = RecordsOf<format::StringRecord>(pack.kernels());
    s_.partitions = RecordsOf<format::PartitionRecord>(pack.partitions());
    s_.segments = RecordsOf<format::SegmentRecord>(pack.segments());
    s_.inputs = RecordsOf<format::SignatureRecord>(pack.inputs());
    s_.outputs = RecordsOf<format::SignatureRecord>(pack.outputs());
    s_.plan = {reinterpret_cast<const std::byte*>(pack.plan()), sizeof(format::PlanRecord), 1};
    return Check(RecordView<Structs, false>(s_), file.size(), errors);
  }
  uint64_t Walk() const { return bench::Walk(RecordView<Structs, true>(s_)); }

 private:
  Array<std::byte> metadata_;
  Structs s_;
};

}  // namespace wherry::bench
