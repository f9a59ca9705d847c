// The table of this folder: one entry for each selected line of kernels.def, nothing registers itself.
#include "kernels/select.h"
#include "kernels/tables.h"

namespace wherry::kernels {

#define WHERRY_KERNEL(key, ops, types, file) \
  Status Prepare_##key(PrepareContext&);     \
  Status Run_##key(RunContext&);
#include "kernels/nn/kernels.def"
#undef WHERRY_KERNEL

#define WHERRY_KERNEL(key, ops, types, file) WHERRY_ENTRY(key)
const KernelEntry kNnTable[] = {
#include "kernels/nn/kernels.def"
    {nullptr, nullptr, nullptr}};
#undef WHERRY_KERNEL

}  // namespace wherry::kernels
