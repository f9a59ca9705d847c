// The table of this folder.
#define WHERRY_TABLE kArrayTable
#define WHERRY_TABLE_DEF "kernels/array/kernels.def"
#include "kernels/table-inl.h"
