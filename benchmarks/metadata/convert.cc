// Writes a pack's metadata as FlatBuffers, by both schemas: convert PACK TABLES STRUCTS. The new files have a pack's
// header and size, and no weights. Strings, and in the tables schema lists of dimensions, are shared.
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "record_view.h"
#include "runtime/hash.h"
#include "structs_generated.h"
#include "tables_generated.h"

namespace {

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
using View = wherry::bench::RecordView<wherry::Pack, true>;
namespace format = wherry::format;

std::string Text(wherry::StringView text) { return {text.data, text.size}; }

template <typename Run>
auto List(const Run& run) {
  std::vector<std::decay_t<decltype(run[0])>> values;
  for (uint64_t i = 0; i < run.size(); ++i) values.push_back(run[i]);
  return values;
}

class Tables {
 public:
  explicit Tables(const View& view) : view_(view) {}

  void Build(FlatBufferBuilder& b, const std::string& provenance, uint64_t memory_budget) {
    namespace t = wherry::tables;
    std::vector<Offset<t::Tensor>> tensors;
    for (uint64_t i = 0; i < view_.tensors(); ++i) {
      wherry::bench::TensorView<View::Ints> v;
      view_.Tensor(i, &v);
      Offset<t::Quant> quant;
      if (v.quantized) {
        quant = t::CreateQuant(b, v.quant.format, v.quant.bits, v.quant.axis, v.quant.channels, v.quant.scale,
                               v.quant.offset);
      }
      const auto name = b.CreateSharedString(Text(v.name));
      tensors.push_back(t::CreateTensor(b, name, v.dtype, v.place, v.layout, Ints(b, List(v.dims)), v.owner, quant,
                                        v.offset, v.bytes));
    }
    std::vector<Offset<t::Step>> steps;
    for (uint64_t i = 0; i < view_.steps(); ++i) {
      wherry::bench::StepView<View::Indexes> v;
      view_.Step(i, &v);
      std::vector<Offset<t::Attribute>> attributes;
      for (uint32_t k = 0; k < v.attributes; ++k) attributes.push_back(Attribute(b, i, k));
      const auto name = b.CreateSharedString(Text(v.name));
      const auto inputs = b.CreateVector(List(v.inputs)), outputs = b.CreateVector(List(v.outputs));
      steps.push_back(t::CreateStep(b, name, v.kernel, inputs, outputs, b.CreateVector(attributes)));
    }
    std::vector<Offset<flatbuffers::String>> kernels;
    for (uint64_t i = 0; i < view_.kernels(); ++i) {
      wherry::StringView key;
      view_.Kernel(i, &key);
      kernels.push_back(b.CreateSharedString(Text(key)));
    }
    std::vector<Offset<t::Partition>> partitions;
    for (uint64_t i = 0; i < view_.partitions(); ++i) {
      wherry::bench::PartitionView<View::Indexes> v;
      view_.Partition(i, &v);
      partitions.push_back(t::CreatePartition(b, v.first_step, v.num_steps, b.CreateVector(List(v.segments))));
    }
    std::vector<Offset<t::Segment>> segments;
    for (uint64_t i = 0; i < view_.segments(); ++i) {
      const wherry::bench::SegmentView v = view_.Segment(i);
      segments.push_back(t::CreateSegment(b, v.offset, v.bytes, v.hash, v.flags));
    }
    std::vector<Offset<t::Signature>> inputs, outputs;
    wherry::bench::SignatureView s;
    for (uint64_t i = 0; i < view_.inputs(); ++i) {
      view_.Input(i, &s);
      inputs.push_back(t::CreateSignature(b, b.CreateSharedString(Text(s.name)), s.tensor));
    }
    for (uint64_t i = 0; i < view_.outputs(); ++i) {
      view_.Output(i, &s);
      outputs.push_back(t::CreateSignature(b, b.CreateSharedString(Text(s.name)), s.tensor));
    }
    b.Finish(t::CreatePackDirect(b, &tensors, &steps, &kernels, &partitions, &segments, &inputs, &outputs,
                                 view_.arena_bytes(), memory_budget, provenance.c_str()));
  }

 private:
  Offset<flatbuffers::Vector<int64_t>> Ints(FlatBufferBuilder& b, const std::vector<int64_t>& values) {
    auto [at, added] = ints_.try_emplace(values);
    if (added) at->second = b.CreateVector(values);
    return at->second;
  }
  Offset<wherry::tables::Attribute> Attribute(FlatBufferBuilder& b, uint64_t step, uint32_t k) {
    wherry::bench::AttributeView<View::Ints> v;
    view_.Attribute(step, k, &v);
    const auto name = b.CreateSharedString(Text(v.name));
    Offset<flatbuffers::String> text;
    Offset<flatbuffers::Vector<int64_t>> ints;
    if (v.kind == 2) text = b.CreateSharedString(Text(v.text));
    if (v.kind == 3) ints = Ints(b, List(v.ints));
    return wherry::tables::CreateAttribute(b, name, v.kind, v.kind < 2 ? v.value : 0, text, ints);
  }

  const View& view_;
  std::map<std::vector<int64_t>, Offset<flatbuffers::Vector<int64_t>>> ints_;
};

// A section as a vector of the structs schema, whose structs have the records' layout.
template <typename Struct, typename Record>
auto Structs(FlatBufferBuilder& b, const wherry::Records<Record>& records) {
  static_assert(sizeof(Struct) == sizeof(Record));
  std::vector<Struct> values(records.size());
  for (size_t i = 0; i < values.size(); ++i) std::memcpy(static_cast<void*>(&values[i]), &records[i], sizeof(Record));
  return b.CreateVectorOfStructs(values);
}

template <typename To, typename T>
auto Scalars(FlatBufferBuilder& b, const wherry::Records<T>& records) {
  std::vector<To> values;
  for (uint64_t i = 0; i < records.size(); ++i) values.push_back(static_cast<To>(records[i]));
  return b.CreateVector(values);
}

void BuildStructs(FlatBufferBuilder& b, const wherry::Pack& pack) {
  namespace s = wherry::structs;
  const auto strings = Scalars<uint8_t>(b, pack.strings);
  const auto ints = Scalars<int64_t>(b, pack.ints);
  const auto indexes = Scalars<uint32_t>(b, pack.indexes);
  const auto tensors = Structs<s::Tensor>(b, pack.tensors);
  const auto quants = Structs<s::Quant>(b, pack.quants);
  const auto attributes = Structs<s::Attribute>(b, pack.attributes);
  const auto steps = Structs<s::Step>(b, pack.steps);
  const auto kernels = Structs<s::Text>(b, pack.kernels);
  const auto partitions = Structs<s::Partition>(b, pack.partitions);
  const auto segments = Structs<s::Segment>(b, pack.segments);
  const auto inputs = Structs<s::Signature>(b, pack.inputs);
  const auto outputs = Structs<s::Signature>(b, pack.outputs);
  const auto provenance = Scalars<uint8_t>(b, pack.provenance);
  const s::Plan plan(pack.plan[0].arena_bytes, pack.plan[0].memory_budget);
  b.Finish(s::CreatePack(b, strings, ints, indexes, tensors, quants, attributes, steps, kernels, partitions, segments,
                         inputs, outputs, &plan, provenance));
}

bool Write(const char* path, const FlatBufferBuilder& b, uint64_t file_bytes) {
  format::Header header = {};
  std::memcpy(header.magic, format::kMagic, sizeof(header.magic));
  header.major = format::kMajor;
  header.minor = format::kMinor;
  header.header_bytes = sizeof(header);
  header.file_bytes = file_bytes > sizeof(header) + b.GetSize() ? file_bytes : sizeof(header) + b.GetSize();
  header.metadata_offset = sizeof(header);
  header.metadata_bytes = b.GetSize();
  header.metadata_hash = wherry::Hash64(b.GetBufferPointer(), b.GetSize());
  header.header_hash = wherry::Hash64(&header, offsetof(format::Header, header_hash));
  std::FILE* file = std::fopen(path, "wb");
  if (file == nullptr) return false;
  bool ok = std::fwrite(&header, sizeof(header), 1, file) == 1;
  ok = std::fwrite(b.GetBufferPointer(), b.GetSize(), 1, file) == 1 && ok;
  if (header.file_bytes > sizeof(header) + b.GetSize()) {
    ok = std::fseek(file, static_cast<long>(header.file_bytes) - 1, SEEK_SET) == 0 && std::fputc(0, file) == 0 && ok;
  }
  return std::fclose(file) == 0 && ok;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: convert PACK TABLES STRUCTS\n");
    return 2;
  }
  wherry::platform::File file;
  wherry::ErrorSink errors;
  wherry::Pack pack;
  if (file.OpenPath(argv[1]) != 0 || !pack.Open(file, errors).ok()) {
    std::fprintf(stderr, "%s: %s\n", argv[1], errors.message());
    return 1;
  }
  const View view(pack);
  FlatBufferBuilder tables, structs;
  std::string provenance;
  for (uint64_t i = 0; i < pack.provenance.size(); ++i) provenance += pack.provenance[i];
  Tables(view).Build(tables, provenance, pack.plan[0].memory_budget);
  BuildStructs(structs, pack);
  if (!Write(argv[2], tables, file.size()) || !Write(argv[3], structs, file.size())) {
    std::fprintf(stderr, "%s or %s cannot be written\n", argv[2], argv[3]);
    return 1;
  }
  return 0;
}
