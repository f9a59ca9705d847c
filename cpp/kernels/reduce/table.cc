// The table of this folder.
#define WHERRY_TABLE kReduceTable
#define WHERRY_TABLE_DEF "kernels/reduce/kernels.def"
#include "kernels/table-inl.h"
