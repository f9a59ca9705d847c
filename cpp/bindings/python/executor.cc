// wherry._native.Executor: a pack opened through the C++ runtime. Errors become wherry._native.NativeError(code, text),
// which python/wherry/runtime/executor.py turns into the exceptions of the public API.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/python/bindings.h"
#include "runtime/hash.h"
#include "wherry/wherry.h"

namespace py = pybind11;

namespace wherry::python {
namespace {

// Names come from the pack, and messages quote them: they need not be UTF-8.
py::object Text(const std::string& text) {
  PyObject* object = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
  if (object == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(object);
}

struct NativeError {
  int code;
  std::string message;
};

using Kind = std::tuple<py::str, py::dtype, std::vector<py::ssize_t>>;

bool Fits(const py::array& array, const Kind& kind) {
  const auto& [name, type, shape] = kind;
  return array.dtype().is(type) && (array.flags() & py::array::c_style) != 0 &&
         array.ndim() == static_cast<py::ssize_t>(shape.size()) && std::equal(shape.begin(), shape.end(), array.shape());
}

// The fields of wherry_device.
using Device = std::optional<std::tuple<int32_t, double, double, double>>;

class PyExecutor {
 public:
  PyExecutor(const py::object& source, int threads, uint64_t memory_budget, int page_cache, const Device& device) {
    wherry_device speed{};
    if (device) std::tie(speed.cores, speed.float_macs, speed.integer_macs, speed.storage_bytes) = *device;
    const wherry_options options{threads, memory_budget, static_cast<wherry_page_cache>(page_cache),
                                 device ? &speed : nullptr};
    wherry_model* model = nullptr;
    wherry_status status;
    if (py::isinstance<py::bytes>(source)) {
      // Bytes objects are aligned to 8 at the least, and unchangeable: they are borrowed, not copied.
      held_ = source;
      char* data = nullptr;
      Py_ssize_t size = 0;
      PyBytes_AsStringAndSize(source.ptr(), &data, &size);
      const size_t misaligned = reinterpret_cast<uintptr_t>(data) % 64;
      const py::gil_scoped_release release;
      if (misaligned != 0) {
        copy_.resize(static_cast<size_t>(size) / 64 + 1);
        std::copy(data, data + size, reinterpret_cast<char*>(copy_.data()));
        data = reinterpret_cast<char*>(copy_.data());
      }
      status = wherry_open_memory(data, static_cast<size_t>(size), &options, &model);
    } else {
      const std::string path = PathOf(source);
      const py::gil_scoped_release release;
      status = wherry_open_path(path.c_str(), &options, &model);
    }
    model_.reset(model);
    Check(status);
  }

  py::list Inputs() const { return Infos(&wherry_input_info, wherry_input_count(model())); }
  py::list Outputs() const { return Infos(&wherry_output_info, wherry_output_count(model())); }

  // (name, numpy type, shape) of all inputs and outputs, in the pack's order.
  void SetTypes(const std::vector<Kind>& inputs, const std::vector<Kind>& outputs) {
    inputs_ = inputs;
    outputs_ = outputs;
  }

  // Name -> array, or None when `inputs` are not a dict of C-contiguous arrays of the inputs' types and shapes: then
  // executor.py converts them, or says what is wrong. After a run the caches hold weights and no Python, so all that is
  // done here for each run costs a tenth of what it would there.
  py::object Run(const py::object& inputs) {
    if (!PyDict_CheckExact(inputs.ptr()) || PyDict_Size(inputs.ptr()) != static_cast<Py_ssize_t>(inputs_.size())) {
      return py::none();
    }
    std::vector<py::array> arrays;  // keeps them: others may change the dict during the run
    arrays.reserve(inputs_.size());
    for (const Kind& kind : inputs_) {
      PyObject* const item = PyDict_GetItemWithError(inputs.ptr(), std::get<0>(kind).ptr());
      if (PyErr_Occurred() != nullptr) throw py::error_already_set();
      if (item == nullptr || !py::isinstance<py::array>(item)) return py::none();
      arrays.push_back(py::reinterpret_borrow<py::array>(item));
      if (!Fits(arrays.back(), kind)) return py::none();
    }
    return RunOn(arrays);
  }

  // Of arrays as executor.py has made them.
  py::dict RunOn(const std::vector<py::array>& arrays) {
    const InUse in_use(*this);
    for (size_t i = 0; i < arrays.size(); ++i) {
      Check(wherry_set_input(model(), static_cast<int32_t>(i), arrays[i].data(), static_cast<size_t>(arrays[i].nbytes())));
    }
    wherry_status status;
    {
      const py::gil_scoped_release release;
      status = wherry_run(model());
    }
    if (callback_error_) std::rethrow_exception(std::exchange(callback_error_, nullptr));
    Check(status);
    py::dict results;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const void* data = nullptr;
      size_t bytes = 0;
      Check(wherry_output(model(), static_cast<int32_t>(i), &data, &bytes));
      const auto& [name, type, shape] = outputs_[i];
      py::array result(type, shape);
      std::memcpy(result.mutable_data(), data, bytes);
      results[name] = std::move(result);
    }
    return results;
  }

  void SetProgress(const py::object& callback) {
    CheckIdle();
    progress_ = callback;
    const bool on = !callback.is_none();
    Check(wherry_set_progress(model(), on ? &Progress : nullptr, this));
  }
  void Cancel() { Check(wherry_cancel(model())); }
  void SetMemoryBudget(uint64_t bytes) {
    CheckIdle();
    Check(wherry_set_memory_budget(model(), bytes));
  }
  void TrimMemory() { Check(wherry_trim_memory(model())); }

  // A path, or None.
  void SetCheckpoint(const py::object& path) {
    CheckIdle();
    Check(wherry_set_checkpoint(model(), path.is_none() ? nullptr : PathOf(path).c_str()));
  }
  // (partitions done, partitions), or None.
  py::object CheckpointState() const {
    CheckIdle();
    wherry_checkpoint state;
    Check(wherry_checkpoint_state(model(), &state));
    if (state.kind == WHERRY_CHECKPOINT_NONE) return py::none();
    return py::make_tuple(state.partitions_done, state.partitions);
  }

  py::dict Stats() const {
    wherry_stats stats;
    Check(wherry_get_stats(model(), &stats));
    py::dict result;
    result["load_seconds"] = stats.load_seconds;
    result["inference_seconds"] = stats.inference_seconds;
    result["io_seconds"] = stats.io_seconds;
    result["peak_bytes"] = stats.peak_bytes;
    result["memory_needed"] = stats.memory_needed;
    result["runs"] = stats.runs;
    result["partitions"] = stats.partitions;
    result["first_partition"] = stats.first_partition;
    result["streamed_bytes"] = stats.streamed_bytes;
    return result;
  }

  void Close() {
    CheckIdle();
    model_.reset();
    held_ = py::none();
    copy_ = {};
  }

 private:
  struct Closer {
    void operator()(wherry_model* model) const { wherry_close(model); }
  };
  // While the interpreter lock is released in a run, other threads may ask for anything. Guarded by that lock.
  class InUse {
   public:
    explicit InUse(PyExecutor& executor) : executor_(executor) {
      executor.CheckIdle();
      executor.running_ = true;
    }
    ~InUse() { executor_.running_ = false; }
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;

   private:
    PyExecutor& executor_;
  };
  struct alignas(64) Line {
    char bytes[64];
  };

  wherry_model* model() const {
    if (!model_) throw NativeError{WHERRY_WRONG_STATE, "the executor is closed"};
    return model_.get();
  }

  void CheckIdle() const {
    if (running_) {
      throw NativeError{WHERRY_WRONG_STATE, "the executor is running: wait for it, or open another one for this thread"};
    }
  }

  // A path as the system takes it, whatever bytes it has. Raises ValueError for one with a NUL inside.
  static std::string PathOf(const py::object& source) {
    PyObject* bytes = nullptr;
    if (PyUnicode_FSConverter(source.ptr(), &bytes) == 0) throw py::error_already_set();
    return py::reinterpret_steal<py::bytes>(bytes);
  }

  void Check(wherry_status status) const {
    if (status != WHERRY_OK) throw NativeError{status, model_ ? wherry_message(model_.get()) : "out of memory"};
  }

  py::list Infos(wherry_status (*get)(wherry_model*, int32_t, wherry_tensor_info*), int32_t count) const {
    py::list result;
    for (int32_t i = 0; i < count; ++i) {
      wherry_tensor_info info;
      Check(get(model(), i, &info));
      result.append(py::make_tuple(Text(info.name), static_cast<int>(info.dtype),
                                   std::vector<int64_t>(info.dims, info.dims + info.rank)));
    }
    return result;
  }

  static int Progress(void* user, int32_t done, int32_t partitions) {
    PyExecutor& self = *static_cast<PyExecutor*>(user);
    const py::gil_scoped_acquire acquire;
    try {
      const py::object callback = self.progress_;
      const py::object answer = callback(done, partitions);
      const int cancel = PyObject_IsTrue(answer.ptr());
      if (cancel < 0) throw py::error_already_set();
      return cancel;
    } catch (...) {
      self.callback_error_ = std::current_exception();  // run() raises it
      return 1;
    }
  }

  py::object held_;
  py::object progress_;
  std::exception_ptr callback_error_;
  bool running_ = false;
  std::vector<Line> copy_;
  std::vector<Kind> inputs_, outputs_;
  std::unique_ptr<wherry_model, Closer> model_;
};

}  // namespace

void BindExecutor(py::module_& module) {
  // Never destroyed: the translator below may run while the interpreter shuts down.
  static PyObject* native_error = PyErr_NewException("wherry._native.NativeError", nullptr, nullptr);
  module.attr("NativeError") = py::handle(native_error);
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const NativeError& error) {
      const py::tuple arguments = py::make_tuple(error.code, Text(error.message));
      PyErr_SetObject(native_error, arguments.ptr());
    }
  });
  py::class_<PyExecutor>(module, "Executor")
      .def(py::init<const py::object&, int, uint64_t, int, const Device&>(), py::arg("source"), py::arg("threads"),
           py::arg("memory_budget"), py::arg("page_cache"), py::arg("device") = py::none())
      .def("inputs", &PyExecutor::Inputs)
      .def("outputs", &PyExecutor::Outputs)
      .def("set_types", &PyExecutor::SetTypes)
      .def("run", &PyExecutor::Run)
      .def("run_on", &PyExecutor::RunOn)
      .def("set_progress", &PyExecutor::SetProgress)
      .def("cancel", &PyExecutor::Cancel)
      .def("set_memory_budget", &PyExecutor::SetMemoryBudget)
      .def("trim_memory", &PyExecutor::TrimMemory)
      .def("set_checkpoint", &PyExecutor::SetCheckpoint)
      .def("checkpoint_state", &PyExecutor::CheckpointState)
      .def("stats", &PyExecutor::Stats)
      .def("close", &PyExecutor::Close);
  module.def("memory", [] {
    const wherry_memory memory = wherry_get_memory();
    return py::make_tuple(memory.physical, memory.available, memory.safe_budget);
  });
  module.def(
      "hash64",
      [](const py::buffer& buffer) {
        const py::buffer_info info = buffer.request();
        const size_t bytes = static_cast<size_t>(info.size * info.itemsize);
        const py::gil_scoped_release release;
        return Hash64(info.ptr, bytes);
      },
      "XXH64, seed 0, of a contiguous buffer.");
}

}  // namespace wherry::python
