// What a FlatBuffers verifier does not check: the checks of cpp/runtime/pack.cc, for a view of views.h.
#ifndef BENCHMARKS_METADATA_CHECKS_H_
#define BENCHMARKS_METADATA_CHECKS_H_

#include <cstring>

#include "platform/file.h"
#include "runtime/hash.h"
#include "runtime/status.h"
#include "runtime/tensor.h"
#include "views.h"

namespace wherry::bench {

inline constexpr uint64_t kMaxRank = 16;
inline constexpr uint64_t kMaxBytes = uint64_t{1} << 48;

inline Status Corrupt(ErrorSink& errors, const char* what) {
  return errors.Fail(Code::kCorrupt, "the pack is damaged: %s; compile it again or copy it again", what);
}

inline bool InRange(uint64_t first, uint64_t count, uint64_t size) { return first <= size && count <= size - first; }

// The header of a pack, with the messages of pack.cc, and its metadata, whatever form that has.
inline Status ReadContainer(const platform::File& file, ErrorSink& errors, Array<std::byte>* metadata) {
  const uint64_t size = file.size();
  format::Header header;
  char magic[8] = {};
  if (size >= sizeof(magic) && file.Read(0, magic, sizeof(magic)) != 0) {
    return errors.Fail(Code::kIo, "the pack cannot be read");
  }
  if (size < sizeof(magic) || std::memcmp(magic, format::kMagic, sizeof(magic)) != 0) {
    return errors.Fail(Code::kNotAPack, "this is not a Wherry pack: it does not begin with the pack's mark");
  }
  if (size < sizeof(header)) {
    return errors.Fail(Code::kTruncated, "the pack is cut short: %llu bytes are not even a header",
                       static_cast<unsigned long long>(size));
  }
  if (file.Read(0, &header, sizeof(header)) != 0) return errors.Fail(Code::kIo, "the pack cannot be read");
  if (header.major > format::kMajor) {
    return errors.Fail(Code::kNewerVersion, "the pack has format %u.%u, this library reads up to %u.x: update the library",
                       header.major, header.minor, format::kMajor);
  }
  if (header.header_hash != Hash64(&header, offsetof(format::Header, header_hash)) ||
      header.header_bytes != sizeof(header)) {
    return Corrupt(errors, "its header does not match its checksum");
  }
  if (header.file_bytes != size) {
    return errors.Fail(Code::kTruncated, "the pack is cut short or padded: %llu bytes, its header says %llu",
                       static_cast<unsigned long long>(size), static_cast<unsigned long long>(header.file_bytes));
  }
  if (!InRange(header.metadata_offset, header.metadata_bytes, size)) {
    return Corrupt(errors, "its metadata lies outside the file");
  }
  if (!metadata->Allocate(static_cast<size_t>(header.metadata_bytes))) {
    return errors.Fail(Code::kOutOfMemory, "no memory for %llu bytes of metadata",
                       static_cast<unsigned long long>(header.metadata_bytes));
  }
  if (file.Read(header.metadata_offset, metadata->data(), metadata->size()) != 0) {
    return errors.Fail(Code::kIo, "the pack cannot be read");
  }
  if (Hash64(metadata->data(), metadata->size()) != header.metadata_hash) {
    return Corrupt(errors, "its metadata does not match its checksum");
  }
  return Status::Ok();
}

template <typename Tensor>
Status CheckQuant(const Tensor& tensor, uint64_t segment_bytes, ErrorSink& errors) {
  const QuantView& quant = tensor.quant;
  const auto kind = static_cast<WeightFormat>(quant.format);
  if (static_cast<format::Place>(tensor.place) != format::Place::kSegment ||
      static_cast<DType>(tensor.dtype) != DType::kF32) {
    return Corrupt(errors, "a quantized tensor is not a float32 weight");
  }
  const bool scaled = kind == WeightFormat::kInt8 || kind == WeightFormat::kMinMax;
  const bool known = scaled || kind == WeightFormat::kFloat16;
  const bool bits_fit = kind == WeightFormat::kMinMax ? quant.bits >= 2 && quant.bits <= 16
                        : kind == WeightFormat::kInt8 ? quant.bits == 8
                                                      : quant.bits == 16;
  if (!known || !bits_fit || quant.axis >= (tensor.dims.size() == 0 ? 1 : tensor.dims.size())) {
    return Corrupt(errors, "a weight format is not one of this version");
  }
  if (scaled != (quant.scale != format::kNone64) || (kind == WeightFormat::kMinMax) != (quant.offset != format::kNone64)) {
    return Corrupt(errors, "a quantization has no scales");
  }
  if (!scaled) return Status::Ok();
  if (quant.channels == 0 || quant.channels > segment_bytes) return Corrupt(errors, "a quantization has too many channels");
  const uint64_t bytes = (quant.channels + 15) / 16 * 16 * sizeof(float);
  if (quant.scale % 4 != 0 || !InRange(quant.scale, bytes, segment_bytes)) return Corrupt(errors, "scales lie outside");
  if (quant.offset != format::kNone64 && (quant.offset % 4 != 0 || !InRange(quant.offset, bytes, segment_bytes))) {
    return Corrupt(errors, "offsets lie outside");
  }
  return Status::Ok();
}

template <typename View>
Status CheckTensor(const View& view, uint64_t i, ErrorSink& errors) {
  TensorView<typename View::Ints> tensor;
  if (!view.Tensor(i, &tensor)) return Corrupt(errors, "a tensor has no valid type");
  const size_t element = SizeOf(static_cast<DType>(tensor.dtype));
  if (element == 0 || tensor.dims.size() > kMaxRank || tensor.layout > static_cast<uint8_t>(Layout::kPanels)) {
    return Corrupt(errors, "a tensor has no valid type");
  }
  uint64_t elements = 1;
  for (uint64_t d = 0; d < tensor.dims.size(); ++d) {
    const int64_t dim = tensor.dims[d];
    if (dim < 0 || (dim > 0 && elements > kMaxBytes / static_cast<uint64_t>(dim))) {
      return Corrupt(errors, "a tensor's shape is impossible");
    }
    elements *= static_cast<uint64_t>(dim);
  }
  uint64_t limit = 0;
  switch (static_cast<format::Place>(tensor.place)) {
    case format::Place::kNowhere: return Status::Ok();
    case format::Place::kSegment:
      if (tensor.owner >= view.segments()) return Corrupt(errors, "a tensor's segment is missing");
      limit = view.Segment(tensor.owner).bytes;
      break;
    case format::Place::kArena: limit = view.arena_bytes(); break;
    case format::Place::kExternal:
      if (tensor.owner >= view.inputs() || tensor.offset != 0) return Corrupt(errors, "a tensor's input is missing");
      limit = tensor.bytes;
      break;
    default: return Corrupt(errors, "a tensor is in no known place");
  }
  if (!InRange(tensor.offset, tensor.bytes, limit) || tensor.offset % element != 0) {
    return Corrupt(errors, "a tensor lies outside its place");
  }
  const bool plain = !tensor.quantized && static_cast<Layout>(tensor.layout) == Layout::kRowMajor;
  if (plain && tensor.bytes != elements * element) return Corrupt(errors, "a tensor's size does not match its shape");
  return tensor.quantized ? CheckQuant(tensor, limit, errors) : Status::Ok();
}

template <typename View>
Status CheckStep(const View& view, uint64_t i, ErrorSink& errors) {
  StepView<typename View::Indexes> step;
  if (!view.Step(i, &step) || step.kernel >= view.kernels()) return Corrupt(errors, "a step points outside");
  for (uint64_t k = 0; k < step.inputs.size(); ++k) {
    const uint32_t tensor = step.inputs[k];
    if (tensor >= view.tensors() || view.PlaceOf(tensor) == format::Place::kNowhere) {
      return Corrupt(errors, "a step's input is missing");
    }
  }
  for (uint64_t k = 0; k < step.outputs.size(); ++k) {
    const uint32_t tensor = step.outputs[k];
    if (tensor >= view.tensors()) return Corrupt(errors, "a step's output is missing");
    const format::Place place = view.PlaceOf(tensor);
    if (place != format::Place::kArena && place != format::Place::kNowhere) {
      return Corrupt(errors, "a step writes outside the arena");
    }
  }
  for (uint32_t k = 0; k < step.attributes; ++k) {
    AttributeView<typename View::Ints> attribute;
    if (!view.Attribute(i, k, &attribute) || attribute.kind > 3) return Corrupt(errors, "an attribute is out of place");
  }
  return Status::Ok();
}

template <typename View>
Status CheckPartitions(const View& view, ErrorSink& errors) {
  uint64_t next = 0;
  for (uint64_t i = 0; i < view.partitions(); ++i) {
    PartitionView<typename View::Indexes> partition;
    if (!view.Partition(i, &partition) || partition.first_step != next ||
        !InRange(partition.first_step, partition.num_steps, view.steps())) {
      return Corrupt(errors, "its partitions do not follow one another");
    }
    next += partition.num_steps;
    for (uint64_t k = 0; k < partition.segments.size(); ++k) {
      if (partition.segments[k] >= view.segments()) return Corrupt(errors, "a partition's segment is missing");
    }
    for (uint64_t s = partition.first_step; s < next; ++s) {
      StepView<typename View::Indexes> step;
      if (!view.Step(s, &step)) return Corrupt(errors, "a step points outside");
      for (uint64_t k = 0; k < step.inputs.size(); ++k) {
        const uint32_t tensor = step.inputs[k];
        if (view.PlaceOf(tensor) != format::Place::kSegment) continue;
        const uint32_t owner = view.OwnerOf(tensor);
        bool mapped = (view.Segment(owner).flags & format::kSegmentResident) != 0;
        for (uint64_t m = 0; m < partition.segments.size(); ++m) mapped = mapped || partition.segments[m] == owner;
        if (!mapped) return Corrupt(errors, "a step reads a weight that its partition does not map");
      }
    }
  }
  if (next != view.steps()) return Corrupt(errors, "a step is in no partition");
  return Status::Ok();
}

template <typename View>
Status Check(const View& view, uint64_t file_bytes, ErrorSink& errors) {
  if (view.arena_bytes() > kMaxBytes) return Corrupt(errors, "it has no plan");
  for (uint64_t i = 0; i < view.segments(); ++i) {
    const SegmentView segment = view.Segment(i);
    if (segment.offset % format::kSegmentAlignment != 0 || !InRange(segment.offset, segment.bytes, file_bytes)) {
      return Corrupt(errors, "a segment lies outside the file");
    }
  }
  for (uint64_t i = 0; i < view.kernels(); ++i) {
    StringView key;
    if (!view.Kernel(i, &key)) return Corrupt(errors, "a kernel has no key");
  }
  for (uint64_t i = 0; i < view.tensors(); ++i) WHERRY_RETURN_IF_ERROR(CheckTensor(view, i, errors));
  for (uint64_t i = 0; i < view.steps(); ++i) WHERRY_RETURN_IF_ERROR(CheckStep(view, i, errors));
  for (uint64_t i = 0; i < view.inputs(); ++i) {
    SignatureView input;
    if (!view.Input(i, &input) || input.tensor >= view.tensors() ||
        view.PlaceOf(input.tensor) != format::Place::kExternal || view.OwnerOf(input.tensor) != i) {
      return Corrupt(errors, "an input has no tensor");
    }
  }
  for (uint64_t i = 0; i < view.tensors(); ++i) {
    if (view.PlaceOf(static_cast<uint32_t>(i)) != format::Place::kExternal) continue;
    TensorView<typename View::Ints> tensor, whole;
    SignatureView input;
    if (!view.Tensor(i, &tensor) || !view.Input(tensor.owner, &input) || !view.Tensor(input.tensor, &whole) ||
        tensor.bytes != whole.bytes) {
      return Corrupt(errors, "a view of an input has another size than the input");
    }
  }
  for (uint64_t i = 0; i < view.outputs(); ++i) {
    SignatureView output;
    if (!view.Output(i, &output) || output.tensor >= view.tensors() ||
        view.PlaceOf(output.tensor) != format::Place::kArena) {
      return Corrupt(errors, "an output has no tensor");
    }
  }
  return CheckPartitions(view, errors);
}

}  // namespace wherry::bench

#endif  // BENCHMARKS_METADATA_CHECKS_H_
