// The table of this folder.
#define WHERRY_TABLE kElementwiseTable
#define WHERRY_TABLE_DEF "kernels/elementwise/kernels.def"
#include "kernels/table-inl.h"
