// The table of this folder.
#define WHERRY_TABLE kRnnTable
#define WHERRY_TABLE_DEF "kernels/rnn/kernels.def"
#include "kernels/table-inl.h"
