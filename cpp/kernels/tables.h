// The folders' tables. Each ends with an entry whose key is null.
#ifndef WHERRY_KERNELS_TABLES_H_
#define WHERRY_KERNELS_TABLES_H_

#include "runtime/kernel.h"

namespace wherry::kernels {

extern const KernelEntry kArrayTable[];
extern const KernelEntry kElementwiseTable[];
extern const KernelEntry kNnTable[];
extern const KernelEntry kQuantizedTable[];
extern const KernelEntry kReduceTable[];
extern const KernelEntry kRnnTable[];

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_TABLES_H_
