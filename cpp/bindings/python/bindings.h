// The parts of the Python module, a file each.
#ifndef WHERRY_BINDINGS_PYTHON_BINDINGS_H_
#define WHERRY_BINDINGS_PYTHON_BINDINGS_H_

#include <pybind11/pybind11.h>

namespace wherry::python {

void BindSingleKernel(pybind11::module_& module);
void BindExecutor(pybind11::module_& module);
void BindResidency(pybind11::module_& module);

}  // namespace wherry::python

#endif  // WHERRY_BINDINGS_PYTHON_BINDINGS_H_
