#include "runtime/streamer.h"

#include <algorithm>
#include <cstring>

#include "platform/pages.h"
#include "runtime/hash.h"

namespace wherry {

Streamer::~Streamer() {
  StopThread();
  Restart(0);
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
      !chunk_of_step_.Allocate(steps) || !step_bytes_.Allocate(steps) || !has_room_.Allocate(steps) ||
      !elsewhere_.Allocate(steps)) {
    return errors.Fail(Code::kOutOfMemory, "no memory for the table of %zu segments", count);
  }
  const int error = file.Map(0, static_cast<size_t>(file.size()), &mapping_, kBlock);
  if (error != 0) return errors.Fail(Code::kIo, "the pack cannot be mapped: %s", std::strerror(error));
  for (size_t i = 0; i < count; ++i) segment_bytes_[i] = RoundUp(pack.segments[i].bytes, format::kTensorAlignment);
  WHERRY_RETURN_IF_ERROR(ReadConstants(errors));
  WHERRY_RETURN_IF_ERROR(ListUses(errors));
  WHERRY_RETURN_IF_ERROR(SizeSteps(errors));
  return SetLimit(~uint64_t{0}, {}, errors);
}

// Copies them where they lie in a file: mapped, they would bring the pages around them along.
Status Streamer::ReadConstants(ErrorSink& errors) {
  const auto for_each = [&](const auto& visit) {
    for (uint32_t i = 0; i < segments_.size(); ++i) {
      if ((pack_->segments[i].flags & format::kSegmentResident) != 0) visit(i, pack_->segments[i]);
    }
  };
  for_each([&](uint32_t i, const format::SegmentRecord&) { constant_bytes_ += segment_bytes_[i]; });
  const bool copies = file_->memory() == nullptr;
  if (copies && !constants_.Allocate(static_cast<size_t>(constant_bytes_ + format::kTensorAlignment))) {
    return errors.Fail(Code::kOutOfMemory, "no memory for %zu bytes of constants", static_cast<size_t>(constant_bytes_));
  }
  std::byte* to = constants_.data();
  if (copies) to += RoundUp(reinterpret_cast<uintptr_t>(to), format::kTensorAlignment) - reinterpret_cast<uintptr_t>(to);
  Status status;
  for_each([&](uint32_t i, const format::SegmentRecord& segment) {
    if (!status.ok()) return;
    const int error = copies ? file_->ReadOnce(segment.offset, to, static_cast<size_t>(segment.bytes)) : 0;
    segments_[i] = copies ? to : mapping_.data + segment.offset;
    if (error != 0) {
      status = errors.Fail(Code::kIo, kUnreadable, static_cast<unsigned long long>(segment.bytes), std::strerror(error));
    } else if (!CheckSegment(i, segments_[i])) {
      status = errors.Fail(load_status_.code(), "%s", load_text_.message());
    }
    to += copies ? segment_bytes_[i] : 0;
    segment_bytes_[i] = 0;  // of weights
  });
  return status;
}

Status Streamer::ListUses(ErrorSink& errors) {
  const size_t steps = static_cast<size_t>(pack_->steps.size());
  Array<uint32_t> last_step;  // that uses a segment, plus 1
  if (!last_step.Allocate(segments_.size())) return errors.Fail(Code::kOutOfMemory, "no memory for the list of weights");
  const auto for_each = [&](const auto& visit) {
    std::fill(last_step.begin(), last_step.end(), 0U);
    for (uint32_t s = 0; s < steps; ++s) {
      const format::StepRecord& step = pack_->steps[s];
      for (uint64_t k = 0; k < step.num_inputs && !elsewhere_[s]; ++k) {
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
  std::fill(first_use_.begin(), first_use_.end(), 0U);
  for_each([&](uint32_t s, uint32_t) {
    ++count;
    ++first_use_[s + 1];
  });
  for (size_t s = 0; s < steps; ++s) first_use_[s + 1] += first_use_[s];
  if (!uses_.Allocate(count) || !use_data_.Allocate(count) || !use_was_.Allocate(count)) {
    return errors.Fail(Code::kOutOfMemory, "no memory for the list of weights");
  }
  size_t next = 0;
  for_each([&](uint32_t s, uint32_t segment) { uses_[next++] = {s, segment}; });
  return Status::Ok();
}

// Sums up the weights of all, and of each step.
Status Streamer::SizeSteps(ErrorSink& errors) {
  if (!users_.Allocate(segments_.size())) return errors.Fail(Code::kOutOfMemory, "no memory for the list of weights");
  for (const WeightUse& use : uses_) {
    if (users_[use.segment]++ == 0 && file_->memory() == nullptr) all_bytes_ += segment_bytes_[use.segment];
  }
  for (uint32_t u = 0; u < uses_.size() && file_->memory() == nullptr;) {
    const uint32_t step = uses_[u].step;
    uint64_t bytes = 0;
    for (; u < uses_.size() && uses_[u].step == step; ++u) bytes += segment_bytes_[uses_[u].segment];
    step_bytes_[step] = pack_->steps[step].num_inputs <= kMostInputs && bytes <= kMostElsewhere ? bytes : 0;
  }
  return Status::Ok();
}

// Of the streamed segments that a step with few inputs reads, each once.
template <typename Visit>
void Streamer::ForEachSegment(uint64_t step, const Visit& visit) const {
  const format::StepRecord& record = pack_->steps[step];
  uint32_t seen[kMostInputs];
  size_t count = 0;
  for (uint64_t k = 0; k < record.num_inputs && count < kMostInputs; ++k) {
    const format::TensorRecord& tensor = pack_->tensors[pack_->indexes[record.inputs + k]];
    if (static_cast<format::Place>(tensor.place) != format::Place::kSegment) continue;
    if ((pack_->segments[tensor.owner].flags & format::kSegmentResident) != 0) continue;
    if (std::find(seen, seen + count, tensor.owner) != seen + count) continue;
    seen[count++] = tensor.owner;
    visit(tensor.owner);
  }
}

// Leaves those steps out of the window that need more than the limit, and have room elsewhere.
Status Streamer::UseRooms(uint64_t limit, ErrorSink& errors) {
  bool changed = false;
  for (uint64_t s = 0; s < elsewhere_.size(); ++s) {
    uint64_t bytes = 0;
    if (has_room_[s]) {
      ForEachSegment(s, [&](uint32_t segment) { bytes += segment_bytes_[segment] + Slop(); });
    }
    changed = changed || elsewhere_[s] != (bytes > limit);
    elsewhere_[s] = bytes > limit;
  }
  return changed ? ListUses(errors) : Status::Ok();
}

Status Streamer::Begin(uint64_t first_step, ErrorSink& errors) {
  const platform::Lock lock(mutex_);
  TakeOver();
  if (num_chunks_ == 0) return Status::Ok();
  if (const Status status = PlanForCache(errors); !status.ok()) {
    HandBack();
    return status;
  }
  const uint64_t released = released_.load();
  if (!failure_.ok() || trimmed_ || (!keeps_all_ && (first_step > 0 || released % num_chunks_ != 0))) {
    uint32_t first = 0;
    while (!keeps_all_ && first + 1 < num_chunks_ && chunks_[first].last_step < first_step) ++first;
    Restart(first);
  } else if (!keeps_all_) {
    run_ = released;
  }
  trimmed_ = warm_ = false;
  if (AllThere()) return Status::Ok();
  if (for_cached_) {
    StopReading();
    warm_ = AllChecked();
    if (warm_) return Status::Ok();
  }
  if (!started_) {
    started_ = thread_.Start(&ThreadMain, this);
    if (!started_) {
      HandBack();
      return errors.Fail(Code::kThread, "the system has no thread that reads weights");
    }
  }
  StartReading();
  return Status::Ok();
}

Status Streamer::Acquire(uint64_t step, ErrorSink& errors) {
  const uint32_t chunk = chunk_of_step_[step];
  moved_ = false;
  if (chunk == kNoChunk) return Status::Ok();
  const uint64_t number = run_ + chunk;
  if (warm_ && loaded_.load(std::memory_order_relaxed) <= number) {
    const double start = platform::Now();
    LoadHere(number);
    wait_seconds_ += platform::Now() - start;
  }
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
  for (uint32_t u = first_use_[step]; u < first_use_[step + 1] && !keeps_all_; ++u) {
    const uint32_t segment = uses_[u].segment;  // which another step may have read elsewhere
    const std::byte* const data = plan_.stays[segment] ? staying_[segment] : use_data_[u];
    moved_ = moved_ || data != use_was_[u] || users_[segment] > 1;
    segments_[segment] = use_was_[u] = data;
  }
  return Status::Ok();
}

Status Streamer::Read(uint64_t step, std::byte* to, ErrorSink& errors) {
  const double start = platform::Now();
  Status status;
  ForEachSegment(step, [&](uint32_t number) {
    const format::SegmentRecord& segment = pack_->segments[number];
    if (!status.ok()) return;
    const size_t bytes = static_cast<size_t>(segment.bytes);
    if (caches_) file_->ReadInHugePages(segment.offset, bytes);
    const int error = caches_ ? file_->Read(segment.offset, to, bytes) : file_->ReadDirect(segment.offset, to, bytes);
    if (error != 0) {
      status = errors.Fail(Code::kIo, kUnreadable, static_cast<unsigned long long>(segment.bytes), std::strerror(error));
    } else if (!checked_[number] && Hash64(to, bytes) != segment.hash) {
      status = errors.Fail(Code::kCorrupt, kDamaged, number);
    } else {
      checked_[number] = true;
    }
    segments_[number] = to;
    to += segment_bytes_[number];
  });
  wait_seconds_ += platform::Now() - start;
  return status;
}

void Streamer::Release(uint64_t step) {
  if (trim_.load(std::memory_order_relaxed)) {
    const platform::Lock lock(mutex_);
    uint32_t next = 0;
    while (next < num_chunks_ && chunks_[next].last_step <= step) ++next;
    DropAll();
    Restart(next);
    trimmed_ = reading_ = true;
    warm_ = false;
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
  HandBack();
}

void Streamer::Trim() {
  const platform::Lock lock(mutex_);
  trim_.store(true, std::memory_order_relaxed);
  if (owned_) return;  // by a thread that will do it
  owned_ = true;
  HandBack();
}

// Restart lets go of the mutex while it waits for the reading thread, so holding it does not keep others away.
void Streamer::TakeOver() {
  while (owned_) arrived_.Wait(mutex_);
  owned_ = true;
}

void Streamer::HandBack() {
  while (trim_.load(std::memory_order_relaxed)) DropAll();
  owned_ = false;
  arrived_.NotifyAll();
}

bool Streamer::AllThere() const { return keeps_all_ && loaded_.load(std::memory_order_relaxed) == num_chunks_; }

void Streamer::StopReading() {
  reading_ = false;
  while (loading_) arrived_.Wait(mutex_);
}

void Streamer::Restart(uint32_t first) {
  StopReading();
  Blocks blocks;
  for (size_t i = 0; i < num_chunks_; ++i) Free(chunks_[i], &blocks);
  UnmapUnused(blocks);
  owes_ = false;
  run_ = 0;
  freed_ = first;
  loaded_.store(first);
  released_.store(first);
  failure_ = Status::Ok();
}

void Streamer::DropAll() {
  trim_.store(false, std::memory_order_relaxed);
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
  CountHeld();
}

}  // namespace wherry
