// wherry._native: the C++ runtime for Python.
#include <pybind11/pybind11.h>

#include "bindings/python/bindings.h"

PYBIND11_MODULE(_native, module) {
  module.doc() = "Wherry's C++ runtime; use wherry.Executor.";
  wherry::python::BindSingleKernel(module);
  wherry::python::BindExecutor(module);
  wherry::python::BindResidency(module);
}
