// The table of the folder's kernels.
#define WHERRY_TABLE kQuantizedTable
#define WHERRY_TABLE_DEF "kernels/quantized/kernels.def"
#include "kernels/table-inl.h"
