// The streamer's reading thread: what it reads next, whether there is room for it, and how it gets there.
#include <algorithm>
#include <cstring>

#include "platform/pages.h"
#include "runtime/hash.h"
#include "runtime/streamer.h"

namespace wherry {
namespace {

// Read-ahead goes on when this share of the window is free: threads should not wake each other for every chunk.
constexpr uint64_t kWakeShare = 4;
constexpr uint64_t kAhead = 2;  // chunks ahead of the computation after Trim

}  // namespace

void Streamer::ThreadMain(void* self) { static_cast<Streamer*>(self)->ReadAhead(); }

void Streamer::StopThread() {
  if (!started_) return;
  {
    const platform::Lock lock(mutex_);
    stop_ = true;
    room_.NotifyAll();
  }
  thread_.Join();
  started_ = false;
}

void Streamer::ReadAhead() {
  const platform::Lock lock(mutex_);
  while (!stop_) {
    FreeReleased();
    const uint64_t number = loaded_.load(std::memory_order_relaxed);
    const bool wanted = reading_ && failure_.ok() && IsWanted(number);
    Chunk* const chunk = wanted ? &chunks_[number % num_chunks_] : nullptr;
    if (chunk == nullptr || !ReserveRoom(*chunk)) {
      WaitForRoom(chunk);
      continue;
    }
    loading_ = true;
    mutex_.Release();
    const bool loaded = Load(*chunk);
    mutex_.Acquire();
    loading_ = false;
    CountHeld();
    if (loaded) {
      loaded_.store(number + 1, std::memory_order_release);
    } else {
      failure_ = load_status_;
    }
    if (computing_waits_ || !reading_) arrived_.NotifyAll();
  }
}

bool Streamer::IsWanted(uint64_t number) const {
  const uint64_t released = released_.load();
  if (trimmed_ && number >= released + kAhead) return false;
  return number < (keeps_all_ ? num_chunks_ : released + num_chunks_);
}

// Sleeps until there may be room for a chunk, or something else to do. Returns at once where that has happened already.
void Streamer::WaitForRoom(const Chunk* chunk) {
  uint64_t at = ~uint64_t{0};
  if (trimmed_) {
    at = released_.load() + 1;
  } else if (chunk != nullptr && !keeps_all_) {
    const uint64_t loaded = loaded_.load(std::memory_order_relaxed);
    at = freed_;
    for (uint64_t bytes = 0; at < loaded && bytes < plan_.window_bytes / kWakeShare; ++at) bytes += chunks_[at % num_chunks_].bytes;
    at = std::max(at, freed_ + 1);
  }
  wake_at_.store(at);
  if (released_.load() < at) room_.Wait(mutex_);
  wake_at_.store(~uint64_t{0});
}

void Streamer::FreeReleased() {
  if (keeps_all_) return;
  const uint64_t released = released_.load();
  for (; freed_ < released; ++freed_) Free(chunks_[freed_ % num_chunks_]);
}

uint64_t Streamer::PositionOf(uint64_t offset) const {
  return offset + static_cast<uint64_t>(mapping_.data - static_cast<const std::byte*>(mapping_.base));
}

uint64_t Streamer::MappedEnd() const { return RoundUp(mapping_.base_bytes, platform::PageBytes()); }

Streamer::Blocks Streamer::BlocksOf(const Extent& extent) const {
  const uint64_t begin = PositionOf(extent.offset);
  return {begin / kBlock, (begin + extent.bytes + kBlock - 1) / kBlock};
}

bool Streamer::ReserveRoom(Chunk& chunk) {
  const uint64_t page = platform::PageBytes();
  uint64_t mapped = 0;
  uint64_t slot_bytes = 0;
  // All of a chunk or nothing: both ways at once could take more than the window has.
  bool maps = true;
  for (uint32_t i = 0; i < chunk.num_extents && maps && !caches_; ++i) {
    const Extent& extent = extents_[chunk.first_extent + i];
    maps = file_->IsCached(mapping_, extent.offset, static_cast<size_t>(extent.bytes));
  }
  for (uint32_t i = 0; i < chunk.num_extents; ++i) {
    Extent& extent = extents_[chunk.first_extent + i];
    extent.mapped = maps;
    if (!maps) {
      slot_bytes += RoundUp(extent.offset + extent.bytes - file_->DirectStart(extent.offset), kDirect);
    } else if (!in_blocks_) {
      mapped += RoundUp(PositionOf(extent.offset) % page + extent.bytes, page);
    }
  }
  if (in_blocks_) mapped = UseBlocks(chunk, true) * kBlock;
  if (!HasRoom(mapped, slot_bytes, &chunk.slot)) {
    if (in_blocks_) static_cast<void>(UseBlocks(chunk, false));
    return false;
  }
  chunk.held = true;
  chunk.slot_bytes = slot_bytes;
  chunk.mapped_bytes = in_blocks_ ? 0 : mapped;
  mapped_bytes_ += mapped;
  if (slot_bytes > 0) ring_.Take(chunk.slot, slot_bytes);
  return true;
}

bool Streamer::HasRoom(uint64_t mapped, uint64_t slot_bytes, uint64_t* offset) {
  for (;;) {
    uint64_t touched = ring_.touched();
    if (slot_bytes > 0 && !ring_.Find(slot_bytes, offset, &touched)) return false;
    if (mapped_bytes_ + mapped + touched <= plan_.window_bytes) return true;
    if (!ring_.empty() || ring_.touched() == 0) return false;
    ring_.Discard();  // memory that an earlier chunk left
  }
}

// Counts a chunk's mapped extents among the users of their blocks, or no longer. Returns how many blocks had no other.
uint64_t Streamer::UseBlocks(const Chunk& chunk, bool use) {
  uint64_t alone = 0;
  for (uint32_t i = 0; i < chunk.num_extents; ++i) {
    const Extent& extent = extents_[chunk.first_extent + i];
    if (!extent.mapped) continue;
    const Blocks range = BlocksOf(extent);
    for (uint64_t b = range.begin; b < range.end; ++b) {
      if (use) alone += block_users_[b]++ == 0 ? 1 : 0;
      if (!use) alone += --block_users_[b] == 0 ? 1 : 0;
    }
  }
  return alone;
}

void Streamer::Free(Chunk& chunk) {
  if (!chunk.held) return;
  chunk.held = false;
  if (chunk.slot_bytes > 0) ring_.Give(chunk.slot, chunk.slot_bytes);
  for (uint32_t i = 0; i < chunk.num_extents; ++i) {
    Extent& extent = extents_[chunk.first_extent + i];
    if (extent.mapped && in_blocks_) UnmapBlocks(extent);
    platform::File::Unmap(&extent.own);
  }
  mapped_bytes_ -= chunk.mapped_bytes;
}

// Gives back the blocks that no other extent uses.
void Streamer::UnmapBlocks(const Extent& extent) {
  const Blocks range = BlocksOf(extent);
  uint64_t unused = range.begin;  // from here on they have no user and are still mapped
  for (uint64_t b = range.begin; b <= range.end; ++b) {
    if (b < range.end && --block_users_[b] == 0) {
      mapped_bytes_ -= kBlock;
      continue;
    }
    const uint64_t end = std::min(b * kBlock, MappedEnd());
    if (end > unused * kBlock) {
      platform::Discard(static_cast<std::byte*>(mapping_.base) + unused * kBlock, static_cast<size_t>(end - unused * kBlock));
    }
    unused = b + 1;
  }
}

bool Streamer::Load(Chunk& chunk) {
  for (uint32_t u = chunk.first_use; u < chunk.first_use + chunk.num_uses; ++u) {
    if (plan_.stays[uses_[u].segment] && !LoadStaying(uses_[u].segment)) return false;
  }
  std::byte* slot = ring_.data() + chunk.slot;
  for (uint32_t i = 0; i < chunk.num_extents; ++i) {
    Extent& extent = extents_[chunk.first_extent + i];
    if (!LoadExtent(extent, slot)) return false;
    if (!extent.mapped) slot += RoundUp(extent.offset + extent.bytes - file_->DirectStart(extent.offset), kDirect);
  }
  return true;
}

bool Streamer::LoadExtent(Extent& extent, std::byte* slot) {
  const double start = platform::Now();
  const std::byte* data = nullptr;
  int error = 0;
  if (!extent.mapped) {
    const uint64_t begin = file_->DirectStart(extent.offset);
    error = file_->ReadDirect(begin, slot, static_cast<size_t>(RoundUp(extent.offset + extent.bytes - begin, kDirect)));
    data = slot + (extent.offset - begin);
  } else if (in_blocks_) {
    const Blocks range = BlocksOf(extent);
    const uint64_t end = std::min(range.end * kBlock, MappedEnd());
    error = platform::Populate(static_cast<std::byte*>(mapping_.base) + range.begin * kBlock,
                               static_cast<size_t>(end - range.begin * kBlock));
    data = mapping_.data + extent.offset;
  } else {
    error = file_->Map(extent.offset, static_cast<size_t>(extent.bytes), &extent.own);
    if (error == 0) {
      error = platform::Populate(extent.own.base, static_cast<size_t>(RoundUp(extent.own.base_bytes, platform::PageBytes())));
    }
    data = extent.own.data;
  }
  if (error != 0) return Fail(Code::kIo, extent.bytes, error);
  CountRead(extent.bytes, platform::Now() - start);
  for (uint32_t u = extent.first_use; u < extent.first_use + extent.num_uses; ++u) {
    const uint32_t segment = uses_[u].segment;
    use_data_[u] = data + (pack_->segments[segment].offset - extent.offset);
    if (!CheckSegment(segment, use_data_[u])) return false;
  }
  return true;
}

bool Streamer::LoadStaying(uint32_t number) {
  if (loaded_staying_[number]) return true;
  const format::SegmentRecord& segment = pack_->segments[number];
  const double start = platform::Now();
  int error = 0;
  if (!keeps_all_) {
    error = file_->Read(segment.offset, staying_[number], static_cast<size_t>(segment.bytes));
  } else if (mapping_.base != nullptr) {
    const uint64_t page = platform::PageBytes();
    const uint64_t begin = PositionOf(segment.offset) / page * page;
    const uint64_t end = RoundUp(PositionOf(segment.offset) + segment.bytes, page);
    error = platform::Populate(static_cast<std::byte*>(mapping_.base) + begin, static_cast<size_t>(end - begin));
  }
  if (error != 0) return Fail(Code::kIo, segment.bytes, error);
  CountRead(segment.bytes, platform::Now() - start);
  if (file_->memory() == nullptr) staying_bytes_ += segment_bytes_[number];
  if (!CheckSegment(number, segments_[number])) return false;
  loaded_staying_[number] = true;
  return true;
}

bool Streamer::CheckSegment(uint32_t number, const std::byte* data) {
  const format::SegmentRecord& segment = pack_->segments[number];
  if (checked_[number] || segment.bytes == 0) return true;
  if (Hash64(data, static_cast<size_t>(segment.bytes)) != segment.hash) {
    load_status_ = load_text_.Fail(Code::kCorrupt, kDamaged, number);
    return false;
  }
  checked_[number] = true;
  return true;
}

bool Streamer::Fail(Code code, uint64_t bytes, int error) {
  load_status_ = load_text_.Fail(code, kUnreadable, static_cast<unsigned long long>(bytes), std::strerror(error));
  return false;
}

void Streamer::CountRead(uint64_t bytes, double seconds) {
  if (bytes < kLeastChunk || seconds <= 0) return;
  constexpr double kShare = 0.125;  // of the newest in the mean
  io_.bytes_per_second += kShare * (static_cast<double>(bytes) / seconds - io_.bytes_per_second);
}

void Streamer::CountHeld() {
  const uint64_t held = staying_bytes_ + mapped_bytes_ + ring_.touched();
  if (held > peak_.load(std::memory_order_relaxed)) peak_.store(held, std::memory_order_relaxed);
}

}  // namespace wherry
