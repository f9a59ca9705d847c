// Makes a folder's table of its kernels.def: one entry for each selected line, nothing registers itself. A folder's
// table.cc defines WHERRY_TABLE, the table's name, and WHERRY_TABLE_DEF, the file, and includes this.
#include "kernels/select.h"
#include "kernels/tables.h"

namespace wherry::kernels {

#define WHERRY_KERNEL(key, ops, types, file) \
  Status Prepare_##key(PrepareContext&);     \
  Status Run_##key(RunContext&);
#include WHERRY_TABLE_DEF
#undef WHERRY_KERNEL

#define WHERRY_KERNEL(key, ops, types, file) WHERRY_ENTRY(key)
const KernelEntry WHERRY_TABLE[] = {
#include WHERRY_TABLE_DEF
    {nullptr, nullptr, nullptr}};
#undef WHERRY_KERNEL

}  // namespace wherry::kernels
