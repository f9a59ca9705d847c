// wherry._native.Executor: a pack opened through the C++ runtime.
#include "bindings/python/bindings.h"

namespace wherry::python {

void BindExecutor(pybind11::module_&) {}

}  // namespace wherry::python
