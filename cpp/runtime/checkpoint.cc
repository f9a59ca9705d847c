#include "runtime/checkpoint.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "platform/replace.h"
#include "runtime/hash.h"

namespace wherry {
namespace {

constexpr char kMagic[8] = {'\x89', 'W', 'H', 'R', 'C', 'K', 'P', '\n'};
constexpr uint32_t kVersion = 1;
constexpr size_t kPiece = 16384;

// Calls visit(begin, bytes) for the ranges, in pieces.
template <typename Visit>
void ForEachPiece(Span<const ArenaRange> ranges, const Visit& visit) {
  for (const ArenaRange& range : ranges) {
    for (uint64_t at = range.begin; at < range.end; at += kPiece) {
      visit(at, static_cast<size_t>(std::min<uint64_t>(kPiece, range.end - at)));
    }
  }
}

uint64_t TotalBytes(Span<const ArenaRange> ranges) {
  uint64_t bytes = 0;
  for (const ArenaRange& range : ranges) bytes += range.end - range.begin;
  return bytes;
}

// A file that no checkpoint, however damaged behind its mark, can have become; a pipe or a device is none either.
bool IsSomethingElse(const char* path) {
  platform::File file;
  char begin[sizeof(kMagic)];
  if (const int error = file.OpenPath(path); error != 0) return error == ESPIPE;
  const size_t bytes = static_cast<size_t>(std::min<uint64_t>(sizeof(begin), file.size()));
  return bytes != 0 && file.Read(0, begin, bytes) == 0 && std::memcmp(begin, kMagic, bytes) != 0;
}

}  // namespace

struct Checkpoint::Header {
  char magic[8];
  uint32_t version, partitions_done;
  uint64_t pack_hash, inputs_hash, data_bytes, data_hash, reserved, header_hash;

  uint64_t Hash() const { return Hash64(this, offsetof(Header, header_hash)); }
};

Status Checkpoint::Set(const char* path, const platform::File& file, const Pack& pack, Isa isa, ErrorSink& errors) {
  static_assert(sizeof(Header) == 64);
  constexpr char kPart[] = ".part";
  on_ = false;
  completed_ = false;
  const size_t length = std::strlen(path);
  if (length == 0) return errors.Fail(Code::kInvalidArgument, "the checkpoint has an empty path");
  if (IsSomethingElse(path)) {
    return errors.Fail(Code::kInvalidArgument, "%s is not a checkpoint, and a run would replace it; name another file", path);
  }
  if (!path_.Allocate(length + 1) || !part_.Allocate(length + sizeof(kPart)) || !crossing_.Build(pack)) {
    return errors.Fail(Code::kOutOfMemory, "no memory for the checkpoint's tables");
  }
  std::memcpy(path_.data(), path, length);
  std::memcpy(part_.data(), path, length);
  std::memcpy(part_.data() + length, kPart, sizeof(kPart));
  format::Header header;
  const int error = file.Read(0, &header, sizeof(header));
  if (error != 0) return errors.Fail(Code::kIo, "the pack cannot be read: %s", std::strerror(error));
  pack_hash_ = Chain64(Chain64(Hash64(&header, sizeof(header)), WHERRY_VERSION, sizeof(WHERRY_VERSION)), &isa, sizeof(isa));
  partitions_ = static_cast<int>(pack.partitions.size());
  on_ = true;
  return Status::Ok();
}

// Into the arena, unless that is null. What is wrong shows only when all of it has been read.
int Checkpoint::Read(const uint64_t* inputs_hash, std::byte* arena) const {
  platform::File file;
  Header header;
  if (file.OpenPath(path_.data()) != 0 || file.size() < sizeof(header)) return kNone;
  if (file.Read(0, &header, sizeof(header)) != 0 || header.header_hash != header.Hash()) return kNone;
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0 || header.version != kVersion ||
      header.pack_hash != pack_hash_ || header.partitions_done > static_cast<uint32_t>(partitions_) ||
      (inputs_hash != nullptr && header.inputs_hash != *inputs_hash)) {
    return kNone;
  }
  const int done = static_cast<int>(header.partitions_done);
  const Span<const ArenaRange> ranges = crossing_.After(done);
  if (header.data_bytes != TotalBytes(ranges) || file.size() != sizeof(header) + header.data_bytes) return kNone;
  std::byte buffer[kPiece];
  uint64_t hash = 0, position = sizeof(header);
  int error = 0;
  ForEachPiece(ranges, [&](uint64_t at, size_t bytes) {
    std::byte* const to = arena == nullptr ? buffer : arena + at;
    if (error == 0) error = file.Read(position, to, bytes);
    if (error != 0) return;
    hash = Chain64(hash, to, bytes);
    position += bytes;
  });
  return error == 0 && hash == header.data_hash ? done : kNone;
}

int Checkpoint::Find(const uint64_t* inputs_hash) const { return Read(inputs_hash, nullptr); }

Status Checkpoint::Begin(uint64_t inputs_hash, std::byte* arena, int* first, ErrorSink& errors) {
  inputs_hash_ = inputs_hash;
  *first = completed_ ? kNone : Read(&inputs_hash, arena);
  completed_ = *first == partitions_;
  if (*first != kNone) return Status::Ok();
  *first = 0;
  return Write(0, arena, errors);
}

Status Checkpoint::Write(int partitions_done, const std::byte* arena, ErrorSink& errors) {
  Header header = {};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = kVersion;
  header.partitions_done = static_cast<uint32_t>(partitions_done);
  header.pack_hash = pack_hash_;
  header.inputs_hash = inputs_hash_;
  header.data_bytes = TotalBytes(crossing_.After(partitions_done));
  ForEachPiece(crossing_.After(partitions_done), [&](uint64_t at, size_t bytes) {
    header.data_hash = Chain64(header.data_hash, arena + at, bytes);
  });
  header.header_hash = header.Hash();
  const int error = TryWrite(header, arena);
  if (error != 0) {
    return errors.Fail(Code::kIo, "the checkpoint %s cannot be written: %s", path_.data(), std::strerror(error));
  }
  completed_ = partitions_done == partitions_;
  return Status::Ok();
}

int Checkpoint::TryWrite(const Header& header, const std::byte* arena) const {
  platform::Replacement file(part_.data());
  int error = file.Open();
  if (error == 0) error = file.Write(&header, sizeof(header));
  for (const ArenaRange& range : crossing_.After(static_cast<int>(header.partitions_done))) {
    if (error == 0) error = file.Write(arena + range.begin, static_cast<size_t>(range.end - range.begin));
  }
  return error != 0 ? error : file.Commit(path_.data());
}

}  // namespace wherry
