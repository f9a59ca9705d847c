// What a memory budget may be: the part of the C API that asks the system, or is told what a system said.
#include <algorithm>

#include "platform/memory.h"
#include "wherry/wherry.h"

namespace {

// The levels of Android's ComponentCallbacks2.
constexpr int32_t kRunningLow = 10;
constexpr int32_t kUiHidden = 20;
constexpr int32_t kBackground = 40;

wherry_memory Advice(uint64_t physical, uint64_t available) {
  return {physical, available, std::max<uint64_t>(1, std::min(physical / 2, available))};
}

}  // namespace

extern "C" {

wherry_memory wherry_get_memory(void) {
  return Advice(wherry::platform::PhysicalMemory(), wherry::platform::AvailableMemory());
}

wherry_memory wherry_memory_on_android(const wherry_android_memory* info) {
  if (info == nullptr) return Advice(0, 0);
  const bool short_of = info->low != 0 || info->available <= info->threshold;
  return Advice(info->total, short_of ? 0 : std::min(info->total, info->available - info->threshold));
}

wherry_status wherry_trim_on_android(wherry_model* model, int32_t level) {
  if (model == nullptr) return WHERRY_INVALID_ARGUMENT;
  const bool trims = (level >= kRunningLow && level < kUiHidden) || level >= kBackground;
  return trims ? wherry_trim_memory(model) : WHERRY_OK;
}

}  // extern "C"
