#include "runtime/pack.h"

#include <cerrno>
#include <cstring>

#include "runtime/hash.h"
#include "runtime/tensor.h"

namespace wherry {

using format::SectionKind;

namespace {

constexpr uint64_t kMaxRank = 16;
// Of a tensor; with 32 bits so that no kernel's scratch memory, at most 16 times that, is more than they count.
constexpr uint64_t kMaxBytes = uint64_t{1} << (sizeof(size_t) > 4 ? 48 : 27);
// Of the arena or a segment.
constexpr uint64_t kMaxBlock = uint64_t{1} << (sizeof(size_t) > 4 ? 48 : 30);
constexpr uint64_t kMaxPairs = uint64_t{1} << 20;  // of tensors of one step

Status Corrupt(ErrorSink& errors, const char* what) {
  return errors.Fail(Code::kCorrupt, "the pack is damaged: %s; compile it again or copy it again", what);
}

Status TooLarge(ErrorSink& errors, const char* what, uint64_t limit) {
  if constexpr (sizeof(size_t) > 4) return Corrupt(errors, "a size is impossible");
  return errors.Fail(Code::kOutOfMemory,
                     "the pack has %s of more than %llu MiB, which a 32-bit machine does not take: compile with more "
                     "partitions, or smaller shapes",
                     what, static_cast<unsigned long long>(limit >> 20));
}

}  // namespace

Status Pack::ReadHeader(const platform::File& file, ErrorSink& errors, format::Header* header) {
  const uint64_t size = file.size();
  *header = format::Header();
  const size_t bytes = size < sizeof(*header) ? static_cast<size_t>(size) : sizeof(*header);
  if (file.ReadOnce(0, header, bytes) != 0) return errors.Fail(Code::kIo, "the pack cannot be read");
  if (size < sizeof(header->magic) || std::memcmp(header->magic, format::kMagic, sizeof(header->magic)) != 0) {
    return errors.Fail(
        Code::kNotAPack,
        "this is not a Wherry pack: it does not begin with the pack's mark; wherry compile makes one of a model");
  }
  if (size < sizeof(*header)) {
    return errors.Fail(Code::kTruncated, "the pack is cut short: %llu bytes are not even a header",
                       static_cast<unsigned long long>(size));
  }
  if (header->major > format::kMajor) {
    return errors.Fail(Code::kNewerVersion, "the pack has format %u.%u, this library reads up to %u.x: update the library",
                       header->major, header->minor, format::kMajor);
  }
  if (header->header_hash != Hash64(header, offsetof(format::Header, header_hash)) ||
      header->header_bytes != sizeof(*header)) {
    return Corrupt(errors, "its header does not match its checksum");
  }
  if (header->file_bytes != size) {
    return errors.Fail(Code::kTruncated, "the pack is cut short or padded: %llu bytes, its header says %llu; copy it again",
                       static_cast<unsigned long long>(size), static_cast<unsigned long long>(header->file_bytes));
  }
  if (!InRange(header->metadata_offset, header->metadata_bytes, size) ||
      header->metadata_bytes < sizeof(format::MetadataHeader)) {
    return Corrupt(errors, "its metadata lies outside the file");
  }
  return Status::Ok();
}

template <typename T>
Status Pack::Take(SectionKind kind, Records<T>* records, ErrorSink& errors) {
  const format::Section& section = sections_[static_cast<uint32_t>(kind)];
  if (section.count == 0) return Status::Ok();
  if (section.stride < sizeof(T) || section.stride % alignof(T) != 0 || section.offset % 8 != 0 ||
      section.offset > metadata_.size() || section.count > (metadata_.size() - section.offset) / section.stride) {
    return Corrupt(errors, "a section of its metadata is out of place");
  }
  *records = Records<T>(metadata_.data() + section.offset, section.stride, section.count);
  return Status::Ok();
}

Status Pack::FindSections(ErrorSink& errors) {
  format::MetadataHeader header;
  std::memcpy(&header, metadata_.data(), sizeof(header));
  if (header.section_count > (metadata_.size() - sizeof(header)) / sizeof(format::Section)) {
    return Corrupt(errors, "its table of sections is too long");
  }
  for (uint32_t i = 0; i < header.section_count; ++i) {
    format::Section section;
    std::memcpy(&section, metadata_.data() + sizeof(header) + i * sizeof(section), sizeof(section));
    if (section.kind > 0 && section.kind <= format::kLastSection) sections_[section.kind] = section;
  }
  WHERRY_RETURN_IF_ERROR(Take(SectionKind::kStrings, &strings, errors));
  WHERRY_RETURN_IF_ERROR(Take(SectionKind::kInts, &ints, errors));
  WHERRY_RETURN_IF_ERROR(Take(SectionKind::kIndexes, &indexes, errors));
  WHERRY_RETURN_IF_ERROR(Take(SectionKind::kTensors, &tensors, errors));
  WHERRY_RETURN_IF_ERROR(Take(SectionKind::kQuants, &quants, errors));
  WHERRY_RETURN_IF_ERROR(Take(SectionKind::kAttributes, &attributes, errors));
  WHERRY_RETURN_IF_ERROR(Take(SectionKind::kSteps, &steps, errors));
  WHERRY_RETURN_IF_ERROR(Take(SectionKind::kKernels, &kernels, errors));
  WHERRY_RETURN_IF_ERROR(Take(SectionKind::kPartitions, &partitions, errors));
  WHERRY_RETURN_IF_ERROR(Take(SectionKind::kSegments, &segments, errors));
  WHERRY_RETURN_IF_ERROR(Take(SectionKind::kInputs, &inputs, errors));
  WHERRY_RETURN_IF_ERROR(Take(SectionKind::kOutputs, &outputs, errors));
  WHERRY_RETURN_IF_ERROR(Take(SectionKind::kPlan, &plan, errors));
  return Take(SectionKind::kProvenance, &provenance, errors);
}

Status Pack::CheckQuant(const format::TensorRecord& tensor, ErrorSink& errors) const {
  if (tensor.quant == format::kNone) return Status::Ok();
  if (tensor.quant >= quants.size()) return Corrupt(errors, "a quantization is missing");
  const format::QuantRecord& quant = quants[tensor.quant];
  const auto kind = static_cast<WeightFormat>(quant.format);
  if (static_cast<format::Place>(tensor.place) != format::Place::kSegment ||
      static_cast<DType>(tensor.dtype) != DType::kF32) {
    return Corrupt(errors, "a quantized tensor is not a float32 weight");
  }
  const bool codes = kind == WeightFormat::kInt8 || kind == WeightFormat::kInt16;
  const bool scaled = codes || kind == WeightFormat::kMinMax;
  const bool known = scaled || kind == WeightFormat::kFloat16 || kind == WeightFormat::kFloat28;
  const bool bits_fit = kind == WeightFormat::kMinMax ? quant.bits >= 2 && quant.bits <= 16
                        : kind == WeightFormat::kInt8    ? quant.bits == 8
                        : kind == WeightFormat::kFloat28 ? quant.bits == 28
                                                         : quant.bits == 16;
  if (!known || !bits_fit || quant.axis >= (tensor.rank == 0 ? 1 : tensor.rank)) {
    return Corrupt(errors, "a weight format is not one of this version");
  }
  const auto layout = static_cast<Layout>(tensor.layout);
  const bool quads = layout == Layout::kQuads || layout == Layout::kTapQuads;
  if (quads && !codes) return Corrupt(errors, "a weight in quads has no codes of bytes");
  if (kind == WeightFormat::kInt16 && layout != Layout::kQuads) {
    return Corrupt(errors, "a weight with codes of 16 bits does not lie in quads");
  }
  if (quant.split != 0 && (kind != WeightFormat::kInt8 || layout != Layout::kQuads)) {
    return Corrupt(errors, "a weight that is not of int8 in quads has sums of some rows");
  }
  if (kind == WeightFormat::kFloat28 && layout != Layout::kPanels) {
    return Corrupt(errors, "a weight of 28 bits does not lie in panels");
  }
  const bool has_offset = kind == WeightFormat::kMinMax || quads;
  if (scaled != (quant.scale != format::kNone64) || has_offset != (quant.offset != format::kNone64)) {
    return Corrupt(errors, "a quantization has no scales");
  }
  if (!scaled) return Status::Ok();
  const uint64_t segment_bytes = segments[tensor.owner].bytes;
  if (quant.channels == 0 || quant.channels > segment_bytes) return Corrupt(errors, "a quantization has too many channels");
  const uint64_t bytes = ScaleBytes(quant.channels);
  if (quant.scale % 4 != 0 || !InRange(quant.scale, bytes, segment_bytes)) return Corrupt(errors, "scales lie outside");
  const uint64_t offset_bytes = OffsetBytes(kind, quant.split, quant.channels);
  if (quant.offset != format::kNone64 && (quant.offset % 4 != 0 || !InRange(quant.offset, offset_bytes, segment_bytes))) {
    return Corrupt(errors, "offsets lie outside");
  }
  return Status::Ok();
}

Status Pack::CheckTensor(uint64_t i, ErrorSink& errors) const {
  const format::TensorRecord& tensor = tensors[i];
  const size_t element = SizeOf(static_cast<DType>(tensor.dtype));
  if (!InStrings(tensor.name) || element == 0 || tensor.rank > kMaxRank ||
      !InRange(tensor.dims, tensor.rank, ints.size()) ||
      tensor.layout > static_cast<uint8_t>(Layout::kTapQuads)) {
    return Corrupt(errors, "a tensor has no valid type");
  }
  uint64_t elements = 1, bound = element;
  for (uint64_t d = 0; d < tensor.rank; ++d) {
    const int64_t dim = ints[tensor.dims + d];
    // Empty dimensions count as one here, so that no product of some of the dimensions overflows either.
    if (dim < 0) return Corrupt(errors, "a tensor's shape is impossible");
    if (dim > 0 && bound > kMaxBytes / static_cast<uint64_t>(dim)) return TooLarge(errors, "a tensor", kMaxBytes);
    bound *= dim > 0 ? static_cast<uint64_t>(dim) : 1;
    elements *= static_cast<uint64_t>(dim);
  }
  const auto place = static_cast<format::Place>(tensor.place);
  if (place != format::Place::kSegment && static_cast<Layout>(tensor.layout) != Layout::kRowMajor) {
    return Corrupt(errors, "a tensor that is no weight lies in panels");
  }
  uint64_t limit = 0;
  switch (place) {
    case format::Place::kNowhere: return Status::Ok();
    case format::Place::kSegment:
      if (tensor.owner >= segments.size()) return Corrupt(errors, "a tensor's segment is missing");
      limit = segments[tensor.owner].bytes;
      break;
    case format::Place::kArena: limit = plan[0].arena_bytes; break;
    case format::Place::kExternal:
      if (tensor.owner >= inputs.size() || tensor.offset != 0) return Corrupt(errors, "a tensor's input is missing");
      limit = tensor.bytes;
      break;
    default: return Corrupt(errors, "a tensor is in no known place");
  }
  if (!InRange(tensor.offset, tensor.bytes, limit) || tensor.offset % element != 0) {
    return Corrupt(errors, "a tensor lies outside its place");
  }
  if (place == format::Place::kArena && tensor.owner != 0) return Status::Ok();  // CheckColumns comes when all are known
  const bool plain = tensor.quant == format::kNone && static_cast<Layout>(tensor.layout) == Layout::kRowMajor;
  if (plain && tensor.bytes != elements * element) return Corrupt(errors, "a tensor's size does not match its shape");
  return CheckQuant(tensor, errors);
}

// Some columns of another tensor's rows lie inside of that tensor, which is no part itself.
Status Pack::CheckColumns(const format::TensorRecord& tensor, ErrorSink& errors) const {
  if (tensor.owner > tensors.size() || tensor.rank == 0) return Corrupt(errors, "a part's tensor is missing");
  const format::TensorRecord& whole = tensors[tensor.owner - 1];
  if (static_cast<format::Place>(whole.place) != format::Place::kArena || whole.owner != 0 || whole.rank == 0 ||
      whole.dtype != tensor.dtype || whole.bytes == 0 || tensor.quant != format::kNone) {
    return Corrupt(errors, "a part is not of a tensor like it");
  }
  const uint64_t element = SizeOf(static_cast<DType>(tensor.dtype));
  const auto count = [this](const format::TensorRecord& of, uint64_t* columns) {
    uint64_t rows = 1;
    for (uint64_t d = 0; d + 1 < of.rank; ++d) rows *= static_cast<uint64_t>(ints[of.dims + d]);
    *columns = static_cast<uint64_t>(ints[uint64_t{of.dims} + of.rank - 1]);
    return rows;
  };
  uint64_t columns = 0, pitch = 0;
  const uint64_t rows = count(tensor, &columns), whole_rows = count(whole, &pitch);
  if (rows == 0 || columns == 0 || tensor.offset < whole.offset || (tensor.offset - whole.offset) % element != 0) {
    return Corrupt(errors, "a part lies outside its tensor");
  }
  const uint64_t first = (tensor.offset - whole.offset) / element;
  if (!InRange(first % pitch, columns, pitch) || !InRange(first / pitch, rows, whole_rows) ||
      tensor.bytes != ((rows - 1) * pitch + columns) * element) {
    return Corrupt(errors, "a part lies outside its tensor");
  }
  return Status::Ok();
}

Status Pack::CheckStep(uint64_t i, ErrorSink& errors) const {
  const format::StepRecord& step = steps[i];
  if (!InStrings(step.name) || step.kernel >= kernels.size() ||
      !InRange(step.inputs, step.num_inputs, indexes.size()) ||
      !InRange(step.outputs, step.num_outputs, indexes.size()) ||
      !InRange(step.attributes, step.num_attributes, attributes.size())) {
    return Corrupt(errors, "a step points outside");
  }
  for (uint64_t k = 0; k < step.num_inputs; ++k) {
    const uint32_t tensor = indexes[step.inputs + k];
    if (tensor >= tensors.size() ||
        static_cast<format::Place>(tensors[tensor].place) == format::Place::kNowhere) {
      return Corrupt(errors, "a step's input is missing");
    }
  }
  for (uint64_t k = 0; k < step.num_outputs; ++k) {
    const uint32_t tensor = indexes[step.outputs + k];
    if (tensor >= tensors.size()) return Corrupt(errors, "a step's output is missing");
    const auto place = static_cast<format::Place>(tensors[tensor].place);
    if (place != format::Place::kArena && place != format::Place::kNowhere) {
      return Corrupt(errors, "a step writes outside the arena");
    }
  }
  return CheckOverlap(step, errors);
}

// An output takes over an input's place as a whole, or stays clear of it: a kernel may rely on what it has checked. Columns of
// rows of one length are clear of each other where no column is in both.
Status Pack::CheckOverlap(const format::StepRecord& step, ErrorSink& errors) const {
  if (uint64_t{step.num_inputs} * step.num_outputs > kMaxPairs || uint64_t{step.num_outputs} * step.num_outputs > kMaxPairs) {
    return Corrupt(errors, "a step has too many tensors");
  }
  const auto row = [this](const format::TensorRecord& tensor) {
    return tensor.rank == 0 ? 1 : static_cast<uint64_t>(ints[uint64_t{tensor.dims} + tensor.rank - 1]);
  };
  const auto clash = [&](const format::TensorRecord& a, const format::TensorRecord& b) {
    if (static_cast<format::Place>(a.place) != format::Place::kArena ||
        static_cast<format::Place>(b.place) != format::Place::kArena || a.bytes == 0 || b.bytes == 0 ||
        a.offset >= b.offset + b.bytes || b.offset >= a.offset + a.bytes) {
      return false;
    }
    const uint64_t pitch = static_cast<uint64_t>(PitchOf(a)), element = SizeOf(static_cast<DType>(a.dtype));
    if (a.dtype != b.dtype || static_cast<uint64_t>(PitchOf(b)) != pitch) return true;
    const uint64_t after = (b.offset + pitch * element - a.offset % (pitch * element)) / element % pitch;
    return after < row(a) || (pitch - after) % pitch < row(b);
  };
  for (uint64_t k = 0; k < step.num_outputs; ++k) {
    const format::TensorRecord& output = tensors[indexes[step.outputs + k]];
    for (uint64_t j = 0; j < k; ++j) {
      if (clash(output, tensors[indexes[step.outputs + j]])) return Corrupt(errors, "two outputs of a step overlap");
    }
    for (uint64_t j = 0; j < step.num_inputs; ++j) {
      const format::TensorRecord& input = tensors[indexes[step.inputs + j]];
      const bool same = input.offset == output.offset && input.bytes == output.bytes && input.dtype == output.dtype &&
                        input.owner == output.owner && (output.owner == 0 || row(input) == row(output));
      if (!same && clash(output, input)) return Corrupt(errors, "an output of a step overlaps an input");
    }
  }
  return Status::Ok();
}

Status Pack::CheckPartitions(ErrorSink& errors) const {
  uint64_t next = 0;
  for (uint64_t i = 0; i < partitions.size(); ++i) {
    const format::PartitionRecord& partition = partitions[i];
    if (partition.first_step != next || !InRange(partition.first_step, partition.num_steps, steps.size()) ||
        !InRange(partition.segments, partition.num_segments, indexes.size())) {
      return Corrupt(errors, "its partitions do not follow one another");
    }
    next += partition.num_steps;
    for (uint64_t k = 0; k < partition.num_segments; ++k) {
      const uint32_t segment = indexes[partition.segments + k];
      if (segment >= segments.size()) return Corrupt(errors, "a partition's segment is missing");
      if ((segments[segment].flags & format::kSegmentResident) != 0) {
        return Corrupt(errors, "a partition gives back a segment that stays");
      }
    }
    for (uint64_t s = partition.first_step; s < next; ++s) {
      for (uint64_t k = 0; k < steps[s].num_inputs; ++k) {
        const format::TensorRecord& tensor = tensors[indexes[steps[s].inputs + k]];
        if (static_cast<format::Place>(tensor.place) != format::Place::kSegment) continue;
        bool mapped = (segments[tensor.owner].flags & format::kSegmentResident) != 0;
        for (uint64_t m = 0; m < partition.num_segments; ++m) {
          mapped = mapped || indexes[partition.segments + m] == tensor.owner;
        }
        if (!mapped) return Corrupt(errors, "a step reads a weight that its partition does not map");
      }
    }
  }
  if (next != steps.size()) return Corrupt(errors, "a step is in no partition");
  return Status::Ok();
}

Status Pack::Check(uint64_t file_bytes, ErrorSink& errors) const {
  if (plan.size() != 1) return Corrupt(errors, "it has no plan");
  if (plan[0].arena_bytes > kMaxBlock) return TooLarge(errors, "an arena", kMaxBlock);
  for (uint64_t i = 0; i < segments.size(); ++i) {
    if (segments[i].offset % format::kSegmentAlignment != 0 ||
        !InRange(segments[i].offset, segments[i].bytes, file_bytes)) {
      return Corrupt(errors, "a segment lies outside the file");
    }
    if (segments[i].bytes > kMaxBlock) return TooLarge(errors, "a partition's weights", kMaxBlock);
  }
  for (uint64_t i = 0; i < kernels.size(); ++i) {
    if (!InStrings(kernels[i])) return Corrupt(errors, "a kernel has no key");
  }
  for (uint64_t i = 0; i < attributes.size(); ++i) {
    const format::AttributeRecord& a = attributes[i];
    const bool text = a.kind == 2, list = a.kind == 3;
    if (!InStrings(a.name) || a.kind > 3 || (text && !InRange(a.value, a.size, strings.size())) ||
        (list && !InRange(a.value, a.size, ints.size()))) {
      return Corrupt(errors, "an attribute is out of place");
    }
  }
  for (uint64_t i = 0; i < tensors.size(); ++i) WHERRY_RETURN_IF_ERROR(CheckTensor(i, errors));
  for (uint64_t i = 0; i < tensors.size(); ++i) {
    if (static_cast<format::Place>(tensors[i].place) != format::Place::kArena || tensors[i].owner == 0) continue;
    WHERRY_RETURN_IF_ERROR(CheckColumns(tensors[i], errors));
  }
  for (uint64_t i = 0; i < steps.size(); ++i) WHERRY_RETURN_IF_ERROR(CheckStep(i, errors));
  for (uint64_t i = 0; i < inputs.size(); ++i) {
    if (!InStrings(inputs[i].name) || inputs[i].tensor >= tensors.size() ||
        static_cast<format::Place>(tensors[inputs[i].tensor].place) != format::Place::kExternal ||
        tensors[inputs[i].tensor].owner != i) {
      return Corrupt(errors, "an input has no tensor");
    }
  }
  for (uint64_t i = 0; i < tensors.size(); ++i) {
    const format::TensorRecord& tensor = tensors[i];
    if (static_cast<format::Place>(tensor.place) == format::Place::kExternal &&
        (tensor.bytes != tensors[inputs[tensor.owner].tensor].bytes ||
         tensor.dtype != tensors[inputs[tensor.owner].tensor].dtype)) {
      return Corrupt(errors, "a view of an input has another size or type than the input");
    }
  }
  for (uint64_t i = 0; i < outputs.size(); ++i) {
    if (!InStrings(outputs[i].name) || outputs[i].tensor >= tensors.size() ||
        static_cast<format::Place>(tensors[outputs[i].tensor].place) != format::Place::kArena ||
        tensors[outputs[i].tensor].owner != 0) {
      return Corrupt(errors, "an output has no tensor");
    }
  }
  return CheckPartitions(errors);
}

Status Pack::Open(const platform::File& file, ErrorSink& errors) {
  format::Header header;
  WHERRY_RETURN_IF_ERROR(ReadHeader(file, errors, &header));
  if (header.metadata_bytes > kMaxBlock) return TooLarge(errors, "metadata", kMaxBlock);
  if (!metadata_.Allocate(static_cast<size_t>(header.metadata_bytes))) {
    return errors.Fail(Code::kOutOfMemory, "no memory for %llu bytes of metadata",
                       static_cast<unsigned long long>(header.metadata_bytes));
  }
  const int error = file.ReadOnce(header.metadata_offset, metadata_.data(), metadata_.size());
  if (error != 0) return errors.Fail(Code::kIo, "the pack cannot be read: %s", std::strerror(error));
  if (Hash64(metadata_.data(), metadata_.size()) != header.metadata_hash) {
    return Corrupt(errors, "its metadata does not match its checksum");
  }
  WHERRY_RETURN_IF_ERROR(FindSections(errors));
  return Check(header.file_bytes, errors);
}

}  // namespace wherry
