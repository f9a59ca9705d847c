#include "runtime/streamer.h"

#include <algorithm>
#include <cstring>

#include "platform/memory.h"
#include "platform/pages.h"
#include "runtime/hash.h"

namespace wherry {
namespace {

constexpr uint32_t kNoChunk = 0xFFFFFFFFU;
constexpr uint64_t kMostChunk = uint64_t{2} << 20;   // larger requests are no faster
constexpr uint64_t kLeastChunk = uint64_t{64} << 10;
constexpr uint64_t kDirect = platform::File::kDirectAlignment;
// Read-ahead goes on when this share of the window is free: threads should not wake each other for every chunk.
constexpr uint64_t kWakeShare = 4;
// Weights are left in the page cache where there is room for this many times what is streamed.
constexpr uint64_t kCacheRoom = 2;
constexpr uint64_t kBlock = platform::kHugePageBytes;
constexpr uint64_t kLeastBlocks = 8;  // of a window that is mapped in blocks
constexpr uint64_t kAhead = 2;  // chunks ahead of the computation after Trim

constexpr uint64_t RoundUp(uint64_t bytes, uint64_t to) { return (bytes + to - 1) / to * to; }

// What a use may take in the window beyond its segment's bytes, as memory comes in pages. Segments with gaps of so many
// bytes between them are read together.
uint64_t Slop(uint64_t page) { return 2 * std::max(page, kDirect); }

}  // namespace

Streamer::~Streamer() {
  StopThread();
  for (size_t i = 0; i < num_chunks_; ++i) Free(chunks_[i]);
  platform::FreePages(staying_memory_, static_cast<size_t>(staying_memory_bytes_));
  platform::File::Unmap(&mapping_);
}

Status Streamer::Open(const platform::File& file, const Pack& pack, PageCache page_cache, ErrorSink& errors) {
  file_ = &file;
  page_cache_ = page_cache;
  pack_ = &pack;
  const size_t count = static_cast<size_t>(pack.segments.size());
  const size_t steps = static_cast<size_t>(pack.steps.size());
  if (!segments_.Allocate(count) || !staying_.Allocate(count) || !loaded_staying_.Allocate(count) ||
      !checked_.Allocate(count) || !segment_bytes_.Allocate(count) || !first_use_.Allocate(steps + 1) ||
      !chunk_of_step_.Allocate(steps)) {
    return errors.Fail(Code::kOutOfMemory, "no memory for the table of %zu segments", count);
  }
  const int error = file.Map(0, static_cast<size_t>(file.size()), &mapping_);
  if (error != 0) return errors.Fail(Code::kIo, "the pack cannot be mapped: %s", std::strerror(error));
  for (size_t i = 0; i < count; ++i) {
    const format::SegmentRecord& segment = pack.segments[i];
    if ((segment.flags & format::kSegmentResident) == 0) {
      segment_bytes_[i] = RoundUp(segment.bytes, format::kTensorAlignment);
      continue;
    }
    constant_bytes_ += segment.bytes;
    segments_[i] = mapping_.data + segment.offset;
    if (!CheckSegment(static_cast<uint32_t>(i), segments_[i])) {
      return errors.Fail(load_status_.code(), "%s", load_text_.message());
    }
  }
  WHERRY_RETURN_IF_ERROR(ListUses(errors));
  return SetLimit(~uint64_t{0}, {}, errors);
}

Status Streamer::ListUses(ErrorSink& errors) {
  const size_t steps = static_cast<size_t>(pack_->steps.size());
  Array<uint32_t> last_step;  // that uses a segment, plus 1
  if (!last_step.Allocate(segments_.size())) return errors.Fail(Code::kOutOfMemory, "no memory for the list of weights");
  const auto for_each = [&](const auto& visit) {
    std::fill(last_step.begin(), last_step.end(), 0U);
    for (uint32_t s = 0; s < steps; ++s) {
      const format::StepRecord& step = pack_->steps[s];
      for (uint64_t k = 0; k < step.num_inputs; ++k) {
        const format::TensorRecord& tensor = pack_->tensors[pack_->indexes[step.inputs + k]];
        if (static_cast<format::Place>(tensor.place) != format::Place::kSegment) continue;
        const uint32_t segment = tensor.owner;
        if ((pack_->segments[segment].flags & format::kSegmentResident) != 0 || last_step[segment] == s + 1) continue;
        last_step[segment] = s + 1;
        visit(s, segment);
      }
    }
  };
  size_t count = 0;
  for_each([&](uint32_t s, uint32_t) {
    ++count;
    ++first_use_[s + 1];
  });
  for (size_t s = 0; s < steps; ++s) first_use_[s + 1] += first_use_[s];
  if (!uses_.Allocate(count) || !use_data_.Allocate(count)) {
    return errors.Fail(Code::kOutOfMemory, "no memory for the list of weights");
  }
  size_t next = 0;
  for_each([&](uint32_t s, uint32_t segment) { uses_[next++] = {s, segment}; });
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (last_step[i] > 0 && file_->memory() == nullptr) all_bytes_ += segment_bytes_[i];
  }
  return Status::Ok();
}

ResidencyProblem Streamer::Problem(uint64_t limit, Span<const double> step_seconds) const {
  ResidencyProblem problem;
  problem.uses = {uses_.data(), uses_.size()};
  problem.segment_bytes = {segment_bytes_.data(), segment_bytes_.size()};
  problem.window_extra = Slop(platform::PageBytes());
  problem.step_seconds = step_seconds;
  problem.io = io_;
  problem.limit = limit;
  if (limit >= 2 * kLeastBlocks * kBlock) problem.least_window = kLeastBlocks * kBlock;
  return problem;
}

uint64_t Streamer::least_bytes() const {
  return std::min(all_bytes_, file_->memory() != nullptr ? 0 : LeastWeightMemory(Problem(0, {})));
}

Status Streamer::SetLimit(uint64_t bytes, Span<const double> step_seconds, ErrorSink& errors) {
  {
    const platform::Lock lock(mutex_);
    DropAll();
  }
  platform::FreePages(staying_memory_, static_cast<size_t>(staying_memory_bytes_));
  staying_memory_ = nullptr;
  staying_memory_bytes_ = 0;
  keeps_all_ = bytes >= all_bytes_;
  if (keeps_all_) {
    if (!ring_.Resize(0) || !plan_.stays.Allocate(segments_.size())) {
      return errors.Fail(Code::kOutOfMemory, "no memory for the table of %zu segments", segments_.size());
    }
    std::fill(plan_.stays.begin(), plan_.stays.end(), true);
    plan_.resident_bytes = all_bytes_;
    plan_.window_bytes = plan_.streamed_bytes = 0;
    for (size_t i = 0; i < segments_.size(); ++i) segments_[i] = mapping_.data + pack_->segments[i].offset;
    platform::UseHugePages(mapping_.base, mapping_.base_bytes, true);
    return BuildChunks(errors);
  }
  if (!PlanResidency(Problem(bytes, step_seconds), &plan_)) {
    return errors.Fail(Code::kOutOfMemory, "no memory to plan for %zu segments", segments_.size());
  }
  staying_memory_bytes_ = plan_.resident_bytes;
  if (staying_memory_bytes_ > 0) {
    staying_memory_ = static_cast<std::byte*>(platform::AllocatePages(static_cast<size_t>(staying_memory_bytes_)));
    if (staying_memory_bytes_ >= kLeastBlocks * kBlock) {
      platform::UseHugePages(staying_memory_, static_cast<size_t>(staying_memory_bytes_), true);
    }
  }
  if ((staying_memory_bytes_ > 0 && staying_memory_ == nullptr) || !ring_.Resize(plan_.window_bytes)) {
    return errors.Fail(Code::kOutOfMemory, "no memory for %zu bytes of weights", static_cast<size_t>(bytes));
  }
  uint64_t at = 0;
  for (size_t i = 0; i < segments_.size(); ++i) {
    if ((pack_->segments[i].flags & format::kSegmentResident) != 0) continue;
    staying_[i] = plan_.stays[i] ? staying_memory_ + at : nullptr;
    segments_[i] = staying_[i];
    if (plan_.stays[i]) at += segment_bytes_[i];
  }
  caches_ = page_cache_ == PageCache::kUse ||
            (page_cache_ == PageCache::kAuto && platform::AvailableMemory() / kCacheRoom > plan_.streamed_bytes);
  file_->SetReadAhead(caches_);
  return BuildChunks(errors);
}

Status Streamer::BuildChunks(ErrorSink& errors) {
  const uint64_t window = plan_.window_bytes;
  // Several chunks in the window, but for the largest steps and small windows.
  const uint64_t most = keeps_all_ ? kMostChunk : std::max(std::min(kLeastChunk, window / 2), std::min(kMostChunk, window / 6));
  const uint64_t slop = Slop(platform::PageBytes());
  if (!chunks_.Allocate(uses_.size()) || !extents_.Allocate(uses_.size())) {
    return errors.Fail(Code::kOutOfMemory, "no memory for the list of weights");
  }
  std::fill(chunk_of_step_.begin(), chunk_of_step_.end(), kNoChunk);
  num_chunks_ = 0;
  uint32_t num_extents = 0;
  uint64_t chunk_bytes = 0;
  for (uint32_t u = 0; u < uses_.size();) {
    uint32_t end = u;
    uint64_t bytes = 0;
    for (; end < uses_.size() && uses_[end].step == uses_[u].step; ++end) {
      const uint32_t segment = uses_[end].segment;
      bytes += keeps_all_ ? segment_bytes_[segment] : plan_.stays[segment] ? 0 : segment_bytes_[segment] + slop;
    }
    if (num_chunks_ == 0 || chunk_bytes + bytes > most) {
      Chunk& chunk = chunks_[num_chunks_++];
      chunk = Chunk();
      chunk.first_extent = num_extents;
      chunk.first_use = u;
      chunk_bytes = 0;
    }
    chunk_bytes += bytes;
    Chunk& chunk = chunks_[num_chunks_ - 1];
    for (; u < end; ++u) {
      const uint32_t number = uses_[u].segment;
      if (plan_.stays[number]) continue;
      const format::SegmentRecord& segment = pack_->segments[number];
      Extent* const last = chunk.num_extents > 0 ? &extents_[num_extents - 1] : nullptr;
      const bool joins = last != nullptr && segment.offset >= last->offset + last->bytes &&
                         segment.offset - (last->offset + last->bytes) <= slop && last->first_use + last->num_uses == u;
      if (joins) {
        last->bytes = segment.offset + segment.bytes - last->offset;
        ++last->num_uses;
      } else {
        extents_[num_extents] = {segment.offset, segment.bytes, u, 1, true, {}};
        ++num_extents;
        ++chunk.num_extents;
      }
    }
    chunk.num_uses = end - chunk.first_use;
    chunk.bytes = chunk_bytes;
    chunk.last_step = uses_[end - 1].step;
    chunk_of_step_[chunk.last_step] = static_cast<uint32_t>(num_chunks_ - 1);
  }
  if (keeps_all_) return Status::Ok();
  in_blocks_ = false;
  if (plan_.window_bytes < kLeastBlocks * kBlock) return Status::Ok();
  if (!block_users_.Allocate(static_cast<size_t>(mapping_.base_bytes / kBlock + 2))) {
    return errors.Fail(Code::kOutOfMemory, "no memory for the table of blocks");
  }
  uint64_t blocks = 0;  // of the chunk with the most
  for (size_t c = 0; c < num_chunks_; ++c) {
    blocks = std::max(blocks, UseBlocks(chunks_[c], true));
    static_cast<void>(UseBlocks(chunks_[c], false));
  }
  in_blocks_ = 2 * blocks * kBlock <= plan_.window_bytes;
  if (in_blocks_) platform::UseHugePages(mapping_.base, mapping_.base_bytes, true);
  return Status::Ok();
}

// ---- The computing thread ----

Status Streamer::Begin(uint64_t first_step, ErrorSink& errors) {
  const platform::Lock lock(mutex_);
  if (num_chunks_ == 0) return Status::Ok();
  const uint64_t released = released_.load();
  if (!failure_.ok() || trimmed_ || (!keeps_all_ && (first_step > 0 || released % num_chunks_ != 0))) {
    uint32_t first = 0;
    while (!keeps_all_ && first + 1 < num_chunks_ && chunks_[first].last_step < first_step) ++first;
    Restart(first);
  } else if (!keeps_all_) {
    run_ = released;
  }
  running_ = true;
  trimmed_ = false;
  if (AllThere()) return Status::Ok();
  if (!started_) {
    started_ = thread_.Start(&ThreadMain, this);
    if (!started_) return errors.Fail(Code::kThread, "the system has no thread that reads weights");
  }
  reading_ = true;
  room_.NotifyAll();
  return Status::Ok();
}

Status Streamer::Acquire(uint64_t step, ErrorSink& errors) {
  const uint32_t chunk = chunk_of_step_[step];
  if (chunk == kNoChunk) return Status::Ok();
  const uint64_t number = run_ + chunk;
  if (loaded_.load(std::memory_order_acquire) <= number) {
    const double start = platform::Now();
    const platform::Lock lock(mutex_);
    computing_waits_ = true;
    while (loaded_.load(std::memory_order_acquire) <= number && failure_.ok()) {
      room_.NotifyAll();
      arrived_.Wait(mutex_);
    }
    computing_waits_ = false;
    wait_seconds_ += platform::Now() - start;
    if (loaded_.load(std::memory_order_relaxed) <= number) {
      return errors.Fail(failure_.code(), "%s", load_text_.message());
    }
  }
  for (uint32_t u = first_use_[step]; u < first_use_[step + 1]; ++u) {
    if (!plan_.stays[uses_[u].segment]) segments_[uses_[u].segment] = use_data_[u];
  }
  return Status::Ok();
}

void Streamer::Release(uint64_t step) {
  if (trim_.load(std::memory_order_relaxed)) {
    const platform::Lock lock(mutex_);
    uint32_t next = 0;
    while (next < num_chunks_ && chunks_[next].last_step <= step) ++next;
    DropAll();
    Restart(next);
    trimmed_ = reading_ = true;
    room_.NotifyAll();
    return;
  }
  const uint32_t chunk = chunk_of_step_[step];
  if (chunk == kNoChunk || chunks_[chunk].last_step != step) return;
  const uint64_t released = run_ + chunk + 1;
  released_.store(released);
  if (released >= wake_at_.load()) {
    const platform::Lock lock(mutex_);
    room_.NotifyAll();
  }
}

void Streamer::End(bool completed) {
  const platform::Lock lock(mutex_);
  if (!completed && !keeps_all_) Restart(0);
  running_ = false;
  if (trim_.load(std::memory_order_relaxed)) DropAll();
}

void Streamer::Trim() {
  const platform::Lock lock(mutex_);
  if (running_) {
    trim_.store(true, std::memory_order_relaxed);
  } else {
    DropAll();
  }
}

bool Streamer::AllThere() const { return keeps_all_ && loaded_.load(std::memory_order_relaxed) == num_chunks_; }

void Streamer::Restart(uint32_t first) {
  reading_ = false;
  while (loading_) arrived_.Wait(mutex_);
  for (size_t i = 0; i < num_chunks_; ++i) Free(chunks_[i]);
  run_ = 0;
  freed_ = first;
  loaded_.store(first);
  released_.store(first);
  failure_ = Status::Ok();
}

void Streamer::DropAll() {
  Restart(0);
  ring_.Discard();
  std::fill(loaded_staying_.begin(), loaded_staying_.end(), false);
  staying_bytes_ = 0;
  if (staying_memory_ != nullptr) platform::Discard(staying_memory_, static_cast<size_t>(staying_memory_bytes_));
  if (mapping_.base != nullptr && uses_.size() > 0) {
    const uint64_t first = RoundUp(PositionOf(pack_->segments[uses_[0].segment].offset), platform::PageBytes());
    if (first < mapping_.base_bytes) {
      platform::Discard(static_cast<std::byte*>(mapping_.base) + first, static_cast<size_t>(MappedEnd() - first));
    }
  }
  trim_.store(false, std::memory_order_relaxed);
  CountHeld();
}

// ---- The reading thread ----

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
    load_status_ = load_text_.Fail(Code::kCorrupt,
                                  "the pack is damaged: segment %u does not match its checksum; compile it again or copy it again",
                                  number);
    return false;
  }
  checked_[number] = true;
  return true;
}

bool Streamer::Fail(Code code, uint64_t bytes, int error) {
  load_status_ = load_text_.Fail(code, "%llu bytes of weights cannot be read: %s", static_cast<unsigned long long>(bytes),
                                std::strerror(error));
  return false;
}

void Streamer::CountRead(uint64_t bytes, double seconds) {
  read_.fetch_add(bytes, std::memory_order_relaxed);
  if (bytes < kLeastChunk || seconds <= 0) return;
  constexpr double kShare = 0.125;  // of the newest in the mean
  io_.bytes_per_second += kShare * (static_cast<double>(bytes) / seconds - io_.bytes_per_second);
}

void Streamer::CountHeld() {
  const uint64_t held = staying_bytes_ + mapped_bytes_ + ring_.touched();
  held_.store(held, std::memory_order_relaxed);
  if (held > peak_.load(std::memory_order_relaxed)) peak_.store(held, std::memory_order_relaxed);
}

}  // namespace wherry
