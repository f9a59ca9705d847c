// Joins the folders' tables: the one list of what is linked in.
#include "kernels/tables.h"
#include "runtime/kernel.h"

namespace wherry {
namespace {

constexpr const KernelEntry* kTables[] = {
    kernels::kArrayTable, kernels::kElementwiseTable, kernels::kNnTable,
    kernels::kQuantizedTable, kernels::kReduceTable, kernels::kRnnTable,
};

}  // namespace

const KernelEntry* FindKernel(StringView key) {
  for (const KernelEntry* table : kTables) {
    for (const KernelEntry* entry = table; entry->key != nullptr; ++entry) {
      if (StringView(entry->key) == key) return entry;
    }
  }
  return nullptr;
}

void ForEachKernel(void (*visit)(const KernelEntry& entry, void* user), void* user) {
  for (const KernelEntry* table : kTables) {
    for (const KernelEntry* entry = table; entry->key != nullptr; ++entry) visit(*entry, user);
  }
}

}  // namespace wherry
