#include "runtime/ring.h"

#include <algorithm>

#include "platform/pages.h"

namespace wherry {
namespace {

// Smaller rings have no use for huge pages.
constexpr uint64_t kLeastForHugePages = 4 * platform::kHugePageBytes;

}  // namespace

bool Ring::Resize(uint64_t bytes) {
  platform::FreePages(data_, static_cast<size_t>(bytes_));
  data_ = nullptr;
  head_ = tail_ = pieces_ = touched_ = bytes_ = 0;
  if (bytes == 0) return true;
  data_ = static_cast<std::byte*>(platform::AllocatePages(static_cast<size_t>(bytes)));
  if (data_ == nullptr) return false;
  bytes_ = bytes;
  const bool huge = bytes >= kLeastForHugePages;
  granule_ = huge ? platform::kHugePageBytes : platform::PageBytes();
  platform::UseHugePages(data_, static_cast<size_t>(bytes), huge);
  return true;
}

bool Ring::Find(uint64_t bytes, uint64_t* offset, uint64_t* end) const {
  const bool wrapped = pieces_ > 0 && head_ <= tail_;
  if (pieces_ == 0) {
    *offset = 0;
  } else if (wrapped) {
    *offset = head_;
  } else {
    *offset = bytes_ - head_ >= bytes ? head_ : 0;
  }
  const uint64_t limit = wrapped || (pieces_ > 0 && *offset == 0) ? tail_ : bytes_;
  if (limit < *offset || limit - *offset < bytes) return false;
  *end = std::max(touched_, std::min(bytes_, (*offset + bytes + granule_ - 1) / granule_ * granule_));
  return true;
}

void Ring::Take(uint64_t offset, uint64_t bytes) {
  if (pieces_ == 0) tail_ = offset;
  head_ = offset + bytes;
  ++pieces_;
  touched_ = std::max(touched_, std::min(bytes_, (offset + bytes + granule_ - 1) / granule_ * granule_));
}

void Ring::Give(uint64_t offset, uint64_t bytes) {
  tail_ = offset + bytes;
  --pieces_;
}

void Ring::Discard() {
  if (touched_ > 0) platform::Discard(data_, static_cast<size_t>(touched_));
  touched_ = 0;
}

}  // namespace wherry
