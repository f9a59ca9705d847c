#include "runtime/weights.h"

#include <cstring>

#include "runtime/hash.h"

namespace wherry {

Status Weights::Open(const platform::File& file, const Pack& pack, ErrorSink& errors) {
  file_ = &file;
  pack_ = &pack;
  const size_t count = static_cast<size_t>(pack.segments.size());
  if (!mappings_.Allocate(count) || !checked_.Allocate(count)) {
    return errors.Fail(Code::kOutOfMemory, "no memory for the table of %zu segments", count);
  }
  for (size_t i = 0; i < count; ++i) {
    const format::SegmentRecord& segment = pack.segments[i];
    if ((segment.flags & format::kSegmentResident) != 0) {
      resident_bytes_ += segment.bytes;
      WHERRY_RETURN_IF_ERROR(Map(static_cast<uint32_t>(i), errors));
    } else {
      streamed_bytes_ += segment.bytes;
    }
  }
  for (uint64_t p = 0; p < pack.partitions.size(); ++p) {
    const format::PartitionRecord& partition = pack.partitions[p];
    uint64_t bytes = 0;
    for (uint64_t k = 0; k < partition.num_segments; ++k) {
      bytes += pack.segments[pack.indexes[partition.segments + k]].bytes;
    }
    if (bytes > largest_partition_bytes_) largest_partition_bytes_ = bytes;
  }
  return Status::Ok();
}

Status Weights::Map(uint32_t i, ErrorSink& errors) {
  const format::SegmentRecord& segment = pack_->segments[i];
  if (mappings_[i].data != nullptr || segment.bytes == 0) return Status::Ok();
  const size_t bytes = static_cast<size_t>(segment.bytes);
  const int error = file_->Map(segment.offset, bytes, &mappings_[i]);
  if (error != 0) {
    return errors.Fail(Code::kIo, "%zu bytes of weights cannot be mapped: %s", bytes, std::strerror(error));
  }
  mapped_bytes_ += segment.bytes;
  if (!checked_[i]) {
    if (Hash64(mappings_[i].data, bytes) != segment.hash) {
      Unmap(i);  // the next run must find it again, not take it for checked
      return errors.Fail(Code::kCorrupt,
                         "the pack is damaged: segment %u does not match its checksum; compile it again or copy it again", i);
    }
    checked_[i] = true;
  }
  return Status::Ok();
}

void Weights::Unmap(uint32_t i) {
  if (mappings_[i].data == nullptr) return;
  mapped_bytes_ -= mappings_[i].bytes;
  platform::File::Unmap(&mappings_[i]);
}

void Weights::UnmapAll() {
  for (size_t i = 0; i < mappings_.size(); ++i) Unmap(static_cast<uint32_t>(i));
}

Status Weights::Acquire(int index, ErrorSink& errors) {
  const format::PartitionRecord& partition = pack_->partitions[static_cast<uint64_t>(index)];
  for (uint64_t k = 0; k < partition.num_segments; ++k) {
    WHERRY_RETURN_IF_ERROR(Map(pack_->indexes[partition.segments + k], errors));
  }
  const uint64_t next = static_cast<uint64_t>(index) + 1;
  if (!keep_all_ && next < pack_->partitions.size()) {
    const format::PartitionRecord& following = pack_->partitions[next];
    for (uint64_t k = 0; k < following.num_segments; ++k) {
      const format::SegmentRecord& segment = pack_->segments[pack_->indexes[following.segments + k]];
      file_->Prefetch(segment.offset, static_cast<size_t>(segment.bytes));
    }
  }
  return Status::Ok();
}

void Weights::Release(int index) {
  if (keep_all_) return;
  const format::PartitionRecord& partition = pack_->partitions[static_cast<uint64_t>(index)];
  for (uint64_t k = 0; k < partition.num_segments; ++k) Unmap(pack_->indexes[partition.segments + k]);
}

}  // namespace wherry
