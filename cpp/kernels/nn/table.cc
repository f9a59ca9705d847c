// The table of this folder.
#define WHERRY_TABLE kNnTable
#define WHERRY_TABLE_DEF "kernels/nn/kernels.def"
#include "kernels/table-inl.h"
