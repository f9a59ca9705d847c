// The streamer's plan: what stays, how large the window is, and which weights are read together.
#include <algorithm>

#include "platform/memory.h"
#include "platform/pages.h"
#include "runtime/streamer.h"

namespace wherry {
namespace {

constexpr uint64_t kMostChunk = uint64_t{2} << 20;  // larger requests are no faster
// Weights are left in the page cache where there is room for this many times what is streamed.
constexpr uint64_t kCacheRoom = 2;
constexpr uint64_t kLeastBlocks = 6;  // of a window that is mapped in blocks
constexpr uint64_t kLeastHidden = uint64_t{64} << 10;  // bytes of metadata that are worth a block in small pages

}  // namespace

uint64_t Streamer::Slop() { return 2 * std::max<uint64_t>(platform::PageBytes(), kDirect); }

ResidencyProblem Streamer::Problem(uint64_t limit, Span<const double> step_seconds) const {
  ResidencyProblem problem;
  problem.uses = {uses_.data(), uses_.size()};
  problem.segment_bytes = {segment_bytes_.data(), segment_bytes_.size()};
  problem.step_seconds = step_seconds;
  problem.io = io_;
  SetLimits(limit, for_cached_, &problem);
  return problem;
}

void Streamer::SetLimits(uint64_t limit, bool for_cached, ResidencyProblem* problem) {
  problem->window_extra = Slop();
  problem->limit = limit;
  problem->least_window = for_cached ? limit : limit >= 2 * kLeastBlocks * kBlock ? kLeastBlocks * kBlock : 0;
}

uint64_t Streamer::least_bytes() const {
  uint64_t most = 0;
  uint64_t bytes = 0;
  for (size_t u = 0; u < uses_.size(); ++u) {
    if (u == 0 || uses_[u].step != uses_[u - 1].step) bytes = 0;
    bytes += segment_bytes_[uses_[u].segment] + Slop();
    if (!has_room_[uses_[u].step]) most = std::max(most, bytes);
  }
  return std::min(all_bytes_, most);
}

uint64_t Streamer::streamed_bytes() const {
  uint64_t bytes = plan_.streamed_bytes;
  for (size_t s = 0; s < elsewhere_.size(); ++s) bytes += elsewhere_[s] ? step_bytes_[s] : 0;
  return bytes;
}

Status Streamer::SetLimit(uint64_t bytes, Span<const double> step_seconds, ErrorSink& errors) {
  const platform::Lock lock(mutex_);
  TakeOver();
  DropAll();
  limit_ = bytes;
  step_seconds_ = step_seconds;
  too_small_for_cached_ = false;
  Status status = UseRooms(bytes, errors);
  std::fill(use_was_.begin(), use_was_.end(), nullptr);
  if (status.ok()) status = Plan(limit_ < all_bytes_ && IsCached(), errors);
  peak_.store(0, std::memory_order_relaxed);
  CountHeld();
  HandBack();
  return status;
}

// For weights that are in the page cache all memory is a window: what stays would save nothing. They are mapped in blocks
// or not at all.
Status Streamer::Plan(bool for_cached, ErrorSink& errors) {
  DropAll();
  keeps_all_ = limit_ >= all_bytes_;
  for_cached_ = for_cached && !keeps_all_ && !too_small_for_cached_;
  WHERRY_RETURN_IF_ERROR(PlanWindow(errors));
  if (for_cached_ && !in_blocks_) {
    too_small_for_cached_ = true;
    for_cached_ = false;
    WHERRY_RETURN_IF_ERROR(PlanWindow(errors));
  }
  cached_chunks_ = for_cached_ ? num_chunks_ : 0;
  return Status::Ok();
}

// Plans anew where the page cache has all weights by now, or has them no longer.
Status Streamer::PlanForCache(ErrorSink& errors) {
  const bool cached = for_cached_ ? 2 * cached_chunks_ >= num_chunks_ : cached_chunks_ == num_chunks_ && !too_small_for_cached_;
  return keeps_all_ || cached == for_cached_ ? Status::Ok() : Plan(cached, errors);
}

// As far as samples in each block tell.
bool Streamer::IsCached() const {
  uint64_t last = ~uint64_t{0};
  for (const WeightUse& use : uses_) {
    const format::SegmentRecord& segment = pack_->segments[use.segment];
    if (segment.bytes == 0 || segment.offset / kBlock == last) continue;
    last = segment.offset / kBlock;
    if (!file_->IsCached(mapping_, segment.offset, static_cast<size_t>(segment.bytes))) return false;
  }
  return uses_.size() > 0;
}

bool Streamer::AllChecked() const {
  return std::all_of(uses_.begin(), uses_.end(), [&](const WeightUse& use) {
    return checked_[use.segment] || pack_->segments[use.segment].bytes == 0;
  });
}

Status Streamer::PlanWindow(ErrorSink& errors) {
  platform::FreePages(staying_memory_, static_cast<size_t>(staying_memory_bytes_));
  staying_memory_ = nullptr;
  staying_memory_bytes_ = 0;
  if (keeps_all_) {
    if (!ring_.Resize(0) || !plan_.stays.Allocate(segments_.size())) {
      return errors.Fail(Code::kOutOfMemory, "no memory for the table of %zu segments", segments_.size());
    }
    std::fill(plan_.stays.begin(), plan_.stays.end(), true);
    plan_.resident_bytes = all_bytes_;
    plan_.window_bytes = plan_.streamed_bytes = 0;
    for (size_t i = 0; i < segments_.size(); ++i) {
      if ((pack_->segments[i].flags & format::kSegmentResident) != 0) continue;
      segments_[i] = mapping_.data + pack_->segments[i].offset;
    }
    platform::UseHugePages(mapping_.base, mapping_.base_bytes, true);
    HideMetadata(true);
    return BuildChunks(errors);
  }
  HideMetadata(false);
  if (!PlanResidency(Problem(limit_, step_seconds_), &plan_)) {
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
    return errors.Fail(Code::kOutOfMemory, "no memory for %zu bytes of weights", static_cast<size_t>(limit_));
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

// Metadata has been copied. A large page with the first weights in it would have it in the process twice; where weights
// are mapped again and again, in blocks, small pages cost more than that.
void Streamer::HideMetadata(bool hide) {
  if (mapping_.base == nullptr || hide == hides_metadata_) return;
  uint64_t first = file_->size();
  for (uint64_t i = 0; i < pack_->segments.size(); ++i) {
    const format::SegmentRecord& segment = pack_->segments[i];
    if ((segment.flags & format::kSegmentResident) == 0) first = std::min(first, segment.offset);
  }
  const uint64_t bytes = PositionOf(first) / platform::PageBytes() * platform::PageBytes();
  if (bytes < kLeastHidden || bytes >= mapping_.base_bytes) return;
  platform::HidePages(mapping_.base, static_cast<size_t>(bytes), hide);
  hides_metadata_ = hide;
}

Status Streamer::BuildChunks(ErrorSink& errors) {
  const uint64_t window = plan_.window_bytes;
  // Several chunks in the window, but for the largest steps and small windows.
  const uint64_t most = keeps_all_ ? kMostChunk : std::max(std::min(kLeastChunk, window / 2), std::min(kMostChunk, window / 6));
  const uint64_t slop = Slop();
  size_t most_chunks = uses_.size();
  if (keeps_all_) {  // two that follow each other have more than `most`
    uint64_t all = 0;
    for (const WeightUse& use : uses_) all += segment_bytes_[use.segment];
    most_chunks = std::min<size_t>(most_chunks, static_cast<size_t>(2 * (all / most) + 2));
  }
  if (!chunks_.Allocate(most_chunks) || !extents_.Allocate(keeps_all_ ? 0 : uses_.size())) {
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
  in_blocks_ = false;
  if (keeps_all_) return Status::Ok();
  if (plan_.window_bytes < kBlock) return Status::Ok();
  if (!block_users_.Allocate(static_cast<size_t>(mapping_.base_bytes / kBlock + 2))) {
    return errors.Fail(Code::kOutOfMemory, "no memory for the table of blocks");
  }
  uint64_t blocks = 0;  // of the chunk with the most
  for (size_t c = 0; c < num_chunks_; ++c) {
    blocks = std::max(blocks, UseBlocks(chunks_[c], true));
    static_cast<void>(UseBlocks(chunks_[c], false));
  }
  in_blocks_ = plan_.window_bytes >= std::max(2 * blocks, kLeastBlocks) * kBlock ||
               (for_cached_ && plan_.window_bytes >= blocks * kBlock);
  if (in_blocks_) platform::UseHugePages(mapping_.base, mapping_.base_bytes, true);
  return Status::Ok();
}

}  // namespace wherry
