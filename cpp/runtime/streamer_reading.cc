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
constexpr uint64_t kWakeShareCached = 2;  // of weights that are in the page cache: nothing has to be hidden
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
    const uint64_t reads = platform::PageReads();
    const bool loaded = Load(*chunk, false);
    const bool cached = platform::PageReads() == reads;
    mutex_.Acquire();
    loading_ = false;
    FinishLoad(number, loaded, cached);
    if (computing_waits_ || !reading_) arrived_.NotifyAll();
  }
}

// cached: nobody waited for the disk.
void Streamer::FinishLoad(uint64_t number, bool loaded, bool cached) {
  CountHeld();
  if (!loaded) {
    failure_ = load_status_;
    return;
  }
  if (cached && chunks_[number % num_chunks_].slot_bytes == 0) {
    cached_chunks_ = std::min(cached_chunks_ + 1, num_chunks_);
  } else {
    cached_chunks_ -= std::min(cached_chunks_, (num_chunks_ + 2) / 3);
  }
  loaded_.store(number + 1, std::memory_order_release);
}

// The reading thread's work on the computing one: chunks up to this one, and as many more as there is room for, which
// MapAhead may do instead.
void Streamer::LoadHere(uint64_t number) {
  const platform::Lock lock(mutex_);
  const bool all = owes_ || !maps_ahead_;  // nobody called MapAhead
  const uint64_t end = all ? ~uint64_t{0} : number + 1;
  while (warm_ && failure_.ok() && loaded_.load(std::memory_order_relaxed) <= number) {
    if (LoadGroup(end, false)) continue;
    FreeReleased();
    warm_ = LoadGroup(end, false) && warm_;
  }
  owes_ = warm_ && !all;
  if (!warm_) StartReading();
}

// Leaves room for the chunk that comes next, so that it can be mapped before the others are unmapped.
void Streamer::MapAhead() {
  const platform::Lock lock(mutex_);
  if (!owes_ || !failure_.ok()) return;
  owes_ = false;
  FreeReleased();
  static_cast<void>(LoadGroup(~uint64_t{0}, true));
  if (!warm_) StartReading();
}

// Maps as many chunks as there is room for, but none from `end` on. False where that is none. It ends being warm where
// chunks turn out not to be in the page cache any more.
bool Streamer::LoadGroup(uint64_t end, bool leaves_room) {
  const uint64_t first = loaded_.load(std::memory_order_relaxed);
  end = ReserveChunks(first, end, leaves_room);
  if (end == first) return false;
  Blocks blocks;
  for (uint64_t t = first; t < end; ++t) blocks.Add(BlocksOf(chunks_[t % num_chunks_]));
  const uint64_t reads = platform::PageReads();
  bool loaded = PopulateUsed(blocks);
  const bool cached = platform::PageReads() == reads;
  for (uint64_t t = first; t < end && failure_.ok(); ++t) {
    loaded = loaded && Load(chunks_[t % num_chunks_], true);
    FinishLoad(t, loaded, cached || t > first);
  }
  warm_ = 2 * cached_chunks_ >= num_chunks_;
  return true;
}

// Returns the first that has no room, or `end`.
uint64_t Streamer::ReserveChunks(uint64_t number, uint64_t end, bool leaves_room) {
  while (number < end && IsWanted(number) && (!leaves_room || LeavesRoom(number)) &&
         ReserveRoom(chunks_[number % num_chunks_])) {
    ++number;
  }
  return number;
}

// Whether a chunk that is mapped would leave room for the one behind it.
bool Streamer::LeavesRoom(uint64_t number) {
  const Chunk& chunk = chunks_[number % num_chunks_];
  const Chunk& next = chunks_[(number + 1) % num_chunks_];
  const uint64_t blocks = UseBlocks(chunk, true) + UseBlocks(next, true);
  static_cast<void>(UseBlocks(next, false));
  static_cast<void>(UseBlocks(chunk, false));
  uint64_t slot = 0;
  return HasRoom(blocks * kBlock, 0, &slot);
}

void Streamer::StartReading() {
  reading_ = true;
  room_.NotifyAll();
}

bool Streamer::IsWanted(uint64_t number) const {
  if (trimmed_ && number >= released_.load() + kAhead) return false;
  return number < (keeps_all_ ? num_chunks_ : freed_ + num_chunks_);
}

// Sleeps until there may be room for a chunk, or something else to do. Returns at once where that has happened already.
void Streamer::WaitForRoom(const Chunk* chunk) {
  uint64_t at = ~uint64_t{0};
  if (trimmed_) {
    at = released_.load() + 1;
  } else if (chunk != nullptr && !keeps_all_) {
    const uint64_t loaded = loaded_.load(std::memory_order_relaxed);
    const uint64_t wanted = plan_.window_bytes / (for_cached_ ? kWakeShareCached : kWakeShare);
    at = freed_;
    for (uint64_t bytes = 0; at < loaded && bytes < wanted; ++at) bytes += chunks_[at % num_chunks_].bytes;
    at = std::max(at, freed_ + 1);
  }
  wake_at_.store(at);
  if (released_.load() < at) room_.Wait(mutex_);
  wake_at_.store(~uint64_t{0});
}

// All blocks at once: each time that pages are taken from a process, all processors that it runs on are interrupted.
void Streamer::FreeReleased() {
  if (keeps_all_) return;
  Blocks blocks;
  const uint64_t released = released_.load();
  for (; freed_ < released; ++freed_) Free(chunks_[freed_ % num_chunks_], &blocks);
  UnmapUnused(blocks);
}

uint64_t Streamer::PositionOf(uint64_t offset) const {
  return offset + static_cast<uint64_t>(mapping_.data - static_cast<const std::byte*>(mapping_.base));
}

uint64_t Streamer::MappedEnd() const { return RoundUp(mapping_.base_bytes, platform::PageBytes()); }

Streamer::Blocks Streamer::BlocksOf(const Extent& extent) const {
  const uint64_t begin = PositionOf(extent.offset);
  return {begin / kBlock, (begin + extent.bytes + kBlock - 1) / kBlock};
}

Streamer::Blocks Streamer::BlocksOf(const Chunk& chunk) const {
  Blocks blocks;
  for (uint32_t i = 0; i < chunk.num_extents; ++i) {
    if (extents_[chunk.first_extent + i].mapped) blocks.Add(BlocksOf(extents_[chunk.first_extent + i]));
  }
  return blocks;
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

// Adds the blocks that it used to `blocks`: who calls it gives those back that have no user.
void Streamer::Free(Chunk& chunk, Blocks* blocks) {
  if (!chunk.held) return;
  chunk.held = false;
  if (chunk.slot_bytes > 0) ring_.Give(chunk.slot, chunk.slot_bytes);
  if (in_blocks_) {
    blocks->Add(BlocksOf(chunk));
    mapped_bytes_ -= UseBlocks(chunk, false) * kBlock;
  }
  for (uint32_t i = 0; i < chunk.num_extents; ++i) platform::File::Unmap(&extents_[chunk.first_extent + i].own);
  mapped_bytes_ -= chunk.mapped_bytes;
}

// Calls visit(begin, bytes) for each run of blocks with users, or without.
template <typename Visit>
void Streamer::ForBlocks(Blocks blocks, bool used, const Visit& visit) const {
  for (uint64_t b = blocks.begin; b < blocks.end; ++b) {
    const uint64_t begin = b;
    while (b < blocks.end && (block_users_[b] > 0) == used) ++b;
    const uint64_t end = std::min(b * kBlock, MappedEnd());
    if (b > begin) visit(static_cast<std::byte*>(mapping_.base) + begin * kBlock, static_cast<size_t>(end - begin * kBlock));
  }
}

void Streamer::UnmapUnused(Blocks blocks) {
  ForBlocks(blocks, false, [](std::byte* begin, size_t bytes) { platform::Discard(begin, bytes); });
}

bool Streamer::PopulateUsed(Blocks blocks) {
  bool good = true;
  ForBlocks(blocks, true, [&](std::byte* begin, size_t bytes) {
    const int error = good ? platform::Populate(begin, bytes) : 0;
    if (error != 0) good = Fail(bytes, error);
  });
  return good;
}

bool Streamer::Load(Chunk& chunk, bool populated) {
  if (in_blocks_ && !populated && !PopulateUsed(BlocksOf(chunk))) return false;
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
  const std::byte* data = mapping_.data + extent.offset;
  if (!extent.mapped || !in_blocks_) {
    const double start = platform::Now();
    const int error = extent.mapped ? MapAlone(extent) : ReadToSlot(extent, slot);
    if (error != 0) return Fail(extent.bytes, error);
    CountRead(extent.bytes, platform::Now() - start);
    data = extent.mapped ? extent.own.data : slot + (extent.offset - file_->DirectStart(extent.offset));
  }
  for (uint32_t u = extent.first_use; u < extent.first_use + extent.num_uses; ++u) {
    const uint32_t segment = uses_[u].segment;
    use_data_[u] = data + (pack_->segments[segment].offset - extent.offset);
    if (!CheckSegment(segment, use_data_[u])) return false;
  }
  return true;
}

int Streamer::ReadToSlot(const Extent& extent, std::byte* slot) const {
  const uint64_t begin = file_->DirectStart(extent.offset);
  return file_->ReadDirect(begin, slot, static_cast<size_t>(RoundUp(extent.offset + extent.bytes - begin, kDirect)));
}

int Streamer::MapAlone(Extent& extent) {
  const int error = file_->Map(extent.offset, static_cast<size_t>(extent.bytes), &extent.own);
  if (error != 0) return error;
  if (caches_) platform::UseHugePages(extent.own.base, extent.own.base_bytes, true);  // for those that have to be read
  return platform::Populate(extent.own.base, static_cast<size_t>(RoundUp(extent.own.base_bytes, platform::PageBytes())));
}

bool Streamer::LoadStaying(uint32_t number) {
  if (loaded_staying_[number]) return true;
  const format::SegmentRecord& segment = pack_->segments[number];
  const double start = platform::Now();
  int error = 0;
  if (!keeps_all_) {
    if (caches_) file_->ReadInHugePages(segment.offset, static_cast<size_t>(segment.bytes));
    error = file_->Read(segment.offset, staying_[number], static_cast<size_t>(segment.bytes));
  } else if (mapping_.base != nullptr) {
    const uint64_t page = platform::PageBytes();
    const uint64_t begin = PositionOf(segment.offset) / page * page;
    const uint64_t end = RoundUp(PositionOf(segment.offset) + segment.bytes, page);
    error = platform::Populate(static_cast<std::byte*>(mapping_.base) + begin, static_cast<size_t>(end - begin));
  }
  if (error != 0) return Fail(segment.bytes, error);
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

bool Streamer::Fail(uint64_t bytes, int error) {
  load_status_ = load_text_.Fail(Code::kIo, kUnreadable, static_cast<unsigned long long>(bytes), std::strerror(error));
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
