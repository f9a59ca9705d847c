// What an executor holds for a budget: which of the two ways to place scratch memory (runtime/scratch.h), and what is left
// for weights.
#include <algorithm>
#include <cinttypes>
#include <cstring>

#include "platform/pages.h"
#include "runtime/executor.h"

namespace wherry {
namespace {

// What scratch memory may take behind the arena before kernels are told to get by with less. With strips and blocks that fit
// this, two threads are as fast as with larger ones; each of many threads needs some for that, too. An LSTM of 512 units makes
// the input's products of 100 steps at once, and reads its weights once: with 50 at a time two threads take 1.09 times as long.
constexpr size_t kSpareBytes = size_t{1280} << 10;
constexpr size_t kThreadSpareBytes = size_t{256} << 10;

}  // namespace

uint64_t Executor::FixedBytes(size_t arena_end) const {
  return pack_.metadata_bytes() + tensors_.size() * sizeof(Tensor) + dims_.size() * sizeof(int64_t) +
         steps_.size() * (sizeof(Step) + sizeof(StepScratch) + sizeof(double)) + step_tensors_.size() * sizeof(Tensor*) +
         params_.size() + weights_.constant_bytes() + arena_end;
}

// Of a step that has been prepared, under another limit. Its kernel keeps what it has.
size_t Executor::ScratchBytes(size_t step, uint64_t limit) {
  alignas(64) std::byte params[kParamsBytes];
  size_t bytes = scratch_[step].bytes;
  if (!PrepareStep(step, limit, params, &bytes).ok()) return scratch_[step].bytes;
  return bytes;
}

size_t Executor::ScratchBytesOf(void* self, size_t step, uint64_t limit) {
  return static_cast<Executor*>(self)->ScratchBytes(step, limit);
}

// Finds the smallest budgets. scratch_ has the bytes that kernels take without a limit.
Status Executor::PlanMemory() {
  arena_bytes_ = (static_cast<size_t>(pack_.plan[0].arena_bytes) + 63) / 64 * 64;
  for (size_t i = 0; i < scratch_.size(); ++i) scratch_[i].room = static_cast<size_t>(weights_.step_bytes(i));
  bool found = FindLeastEnd(pack_, arena_bytes_, {scratch_.data(), scratch_.size()}, {&ScratchBytesOf, this}, &least_end_);
  for (size_t i = 0; i < scratch_.size(); ++i) weights_.SetRoom(i, scratch_[i].room > 0);
  thrifty_needed_ = FixedBytes(least_end_) + weights_.least_bytes();
  if (!found) return errors_.Fail(Code::kOutOfMemory, "no memory for a table of %zu tensors", tensors_.size());
  WHERRY_RETURN_IF_ERROR(PlaceFor(0, false));
  plain_needed_ = fixed_bytes_ + weights_.least_bytes();
  arena_most_ = arena_end_;
  if (thrifty_needed_ < plain_needed_) {
    arena_most_ = std::max(arena_most_, least_end_ + static_cast<size_t>(plain_needed_ - thrifty_needed_));
  }
  return Status::Ok();
}
// For any budget that may come; where the system has no such range, for those of the plain plan.
Status Executor::AllocateArena() {
  arena_ = static_cast<std::byte*>(platform::AllocatePages(arena_most_));
  if (arena_ == nullptr && !thrifty_ && arena_end_ < arena_most_) {
    arena_most_ = arena_end_;
    thrifty_needed_ = ~uint64_t{0};
    arena_ = static_cast<std::byte*>(platform::AllocatePages(arena_most_));
  }
  if (arena_ != nullptr || arena_most_ == 0) return Status::Ok();
  return errors_.Fail(Code::kOutOfMemory, "no memory for an arena of %zu bytes", arena_most_);
}

// Takes places that were found, and tells kernels whose limit is another one.
Status Executor::UseScratch(Span<const StepScratch> scratch, size_t end) {
  for (size_t i = 0; i < scratch.size(); ++i) {
    if (scratch[i].limit != scratch_[i].limit) {
      size_t bytes = 0;
      WHERRY_RETURN_IF_ERROR(PrepareStep(i, scratch[i].limit, steps_[i].params, &bytes));
    }
    scratch_[i] = scratch[i];
    weights_.SetRoom(i, scratch[i].room > 0);
  }
  if (arena_ != nullptr && end < arena_end_) {
    const size_t first = (end + platform::PageBytes() - 1) / platform::PageBytes() * platform::PageBytes();
    const size_t last = (arena_most_ + platform::PageBytes() - 1) / platform::PageBytes() * platform::PageBytes();
    if (first < last) platform::Discard(arena_ + first, last - first);
  }
  arena_end_ = end;
  fixed_bytes_ = FixedBytes(end);
  return Status::Ok();
}

Status Executor::PlaceFor(uint64_t budget, bool thrifty) {
  Array<StepScratch> placed;
  bool good = placed.Allocate(scratch_.size());
  for (size_t i = 0; good && i < placed.size(); ++i) {
    const bool told = scratch_[i].limit != kNoScratchLimit;
    placed[i].bytes = told ? ScratchBytes(i, kNoScratchLimit) : scratch_[i].bytes;
    placed[i].room = static_cast<size_t>(weights_.step_bytes(i));
  }
  size_t end = least_end_;
  if (thrifty) {
    end += static_cast<size_t>(budget - thrifty_needed_);
    good = good && PlaceThriftily(pack_, end, placed.span(), {&ScratchBytesOf, this});
  } else {
    const size_t spare = std::max(kSpareBytes, kThreadSpareBytes * static_cast<size_t>(threads_.size()));
    good = good && PlaceScratch(pack_, arena_bytes_, spare, placed.span(), {&ScratchBytesOf, this}, &end);
  }
  if (!good) return errors_.Fail(Code::kOutOfMemory, "no memory for a table of %zu tensors", tensors_.size());
  WHERRY_RETURN_IF_ERROR(UseScratch({placed.data(), placed.size()}, end));
  thrifty_ = thrifty;
  return Status::Ok();
}

Status Executor::SetMemoryBudget(uint64_t budget) {
  if (budget == 0) budget = pack_.plan[0].memory_budget;
  const uint64_t needed = memory_needed();
  if (budget != 0 && budget < needed) {
    return errors_.Fail(Code::kBudgetTooSmall,
                        "a memory budget of %" PRIu64 " bytes is too small: this pack needs %" PRIu64
                        " with %d thread%s; raise the budget%s",
                        budget, needed, threads_.size(), threads_.size() == 1 ? "" : "s",
                        threads_.size() > 1 && budget >= needed - (least_end_ - arena_bytes_) ? ", or use fewer threads" : "");
  }
  const bool thrifty = budget != 0 && budget < plain_needed_;
  if (thrifty || thrifty_) WHERRY_RETURN_IF_ERROR(PlaceFor(budget, thrifty));
  const uint64_t limit = budget == 0 ? ~uint64_t{0} : budget - fixed_bytes_;
  WHERRY_RETURN_IF_ERROR(weights_.SetLimit(limit, {step_seconds_.data(), step_seconds_.size()}, errors_));
  for (uint64_t i = 0; i < steps_.size(); ++i) BindWeights(i);
  stats_.peak_bytes = fixed_bytes_;
  return Status::Ok();
}

}  // namespace wherry
