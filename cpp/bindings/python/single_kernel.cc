// run_kernel: one kernel on numpy arrays, without a pack, for tests that compare each kernel with TensorFlow.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/python/bindings.h"
#include "math/hgemm.h"
#include "platform/file.h"
#include "runtime/kernel.h"

namespace py = pybind11;

namespace wherry::python {
namespace {

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

struct FreeMemory {
  void operator()(void* pointer) const { std::free(pointer); }
};
using Block = std::unique_ptr<void, FreeMemory>;

Block Allocate(size_t bytes) {
  void* memory = nullptr;  // exactly as long as asked for: AddressSanitizer sees the first byte too many
  if (posix_memalign(&memory, 64, bytes == 0 ? 1 : bytes) != 0) throw std::bad_alloc();
  std::memset(memory, 0xA5, bytes);  // reading what was never written shows in the results
  return Block(memory);
}

// A tensor and what it points to.
struct Held {
  Tensor tensor;
  std::vector<int64_t> dims;
  Block data;
  std::vector<float> scale, offset;
};

std::vector<float> Padded(const py::object& object) {
  std::vector<float> values;
  if (object.is_none()) return values;
  const Floats array = object.cast<Floats>();
  values.assign(array.data(), array.data() + array.size());
  values.resize((values.size() + 15) / 16 * 16, 0.0F);
  return values;
}

// A tensor from {"data": bytes, "dtype": int, "shape": [...]} and, for weights, "layout", "format", "bits", "axis",
// "scale", "offset".
void Fill(const py::dict& from, Held& to) {
  to.dims = from["shape"].cast<std::vector<int64_t>>();
  const std::string data = from["data"].cast<std::string>();
  to.data = Allocate(data.size());
  std::memcpy(to.data.get(), data.data(), data.size());
  Tensor& tensor = to.tensor;
  tensor.data = to.data.get();
  tensor.bytes = data.size();
  tensor.dims = to.dims.data();
  tensor.rank = static_cast<int32_t>(to.dims.size());
  tensor.dtype = static_cast<DType>(from["dtype"].cast<int>());
  tensor.pitch = tensor.row_length();
  if (from.contains("layout")) tensor.layout = static_cast<Layout>(from["layout"].cast<int>());
  if (from.contains("format")) {
    tensor.quant.format = static_cast<WeightFormat>(from["format"].cast<int>());
    tensor.quant.bits = static_cast<uint8_t>(from["bits"].cast<int>());
    tensor.quant.axis = static_cast<uint8_t>(from["axis"].cast<int>());
    to.scale = Padded(from["scale"]);
    to.offset = Padded(from["offset"]);
    tensor.quant.split = from["split"].cast<uint32_t>();
    tensor.quant.channels = from["channels"].cast<int64_t>();
    tensor.quant.scale = to.scale.empty() ? nullptr : to.scale.data();
    tensor.quant.offset = to.offset.empty() ? nullptr : to.offset.data();
  }
}

// Attribute values with the memory behind them.
struct HeldAttributes {
  std::deque<std::string> strings;
  std::deque<std::vector<int64_t>> lists;
  std::vector<Attribute> items;
};

void Fill(const py::dict& from, HeldAttributes& to) {
  for (const auto& [key, value] : from) {
    Attribute item;
    to.strings.push_back(key.cast<std::string>());
    item.name = StringView(to.strings.back().data(), to.strings.back().size());
    if (py::isinstance<py::bool_>(value) || py::isinstance<py::int_>(value)) {
      item.kind = AttrKind::kInt;
      item.i = value.cast<int64_t>();
    } else if (py::isinstance<py::float_>(value)) {
      item.kind = AttrKind::kFloat;
      item.f = value.cast<double>();
    } else if (py::isinstance<py::str>(value) || py::isinstance<py::bytes>(value)) {
      to.strings.push_back(value.cast<std::string>());
      item.kind = AttrKind::kString;
      item.s = StringView(to.strings.back().data(), to.strings.back().size());
    } else {
      to.lists.push_back(value.cast<std::vector<int64_t>>());
      item.kind = AttrKind::kInts;
      item.ints = Span<const int64_t>(to.lists.back().data(), to.lists.back().size());
    }
    to.items.push_back(item);
  }
}

void Check(Status status, const ErrorSink& errors) {
  if (!status.ok()) throw std::runtime_error(errors.message());
}

// A kernel that is prepared on copies of its inputs, with threads and scratch memory of its own.
class SingleKernel {
 public:
  SingleKernel(const std::string& key, const std::vector<py::dict>& inputs, const py::dict& attributes,
               const std::vector<py::dict>& outputs, int threads, int isa, uint64_t scratch_limit)
      : entry_(FindKernel(StringView(key.data(), key.size()))) {
    if (entry_ == nullptr) throw std::invalid_argument("no kernel " + key);
    for (const py::dict& input : inputs) {
      Fill(input, held_.emplace_back());
      in_.push_back(&held_.back().tensor);
    }
    for (const py::dict& output : outputs) AddOutput(output);
    HeldAttributes attrs;
    Fill(attributes, attrs);
    if (isa >= 0 && !HasIsa(static_cast<Isa>(isa))) throw std::invalid_argument("this CPU has no such instruction set");
    StepBinder binder;
    binder.name = StringView(key.data(), key.size());
    binder.inputs = {in_.data(), in_.size()};
    binder.outputs = {out_.data(), out_.size()};
    binder.attrs = Attributes({attrs.items.data(), attrs.items.size()});
    binder.scratch_limit = scratch_limit;
    binder.errors = &errors_;
    binder.params = params_;
    binder.isa = isa < 0 ? BestIsa() : static_cast<Isa>(isa);
    Check(pool_.Start(threads, errors_), errors_);
    binder.num_threads = pool_.size();
    PrepareContext prepare;
    binder.Bind(prepare);
    Check(entry_->prepare(prepare), errors_);
    scratch_ = Allocate(prepare.scratch_bytes());
    binder.Bind(context_, static_cast<std::byte*>(scratch_.get()), &pool_);
  }

  void Run() { Check(entry_->run(context_), errors_); }
  const std::vector<Tensor*>& outputs() const { return out_; }

 private:
  void AddOutput(const py::dict& output) {
    Held& one = held_.emplace_back();
    one.dims = output["shape"].cast<std::vector<int64_t>>();
    one.tensor.dims = one.dims.data();
    one.tensor.rank = static_cast<int32_t>(one.dims.size());
    one.tensor.dtype = static_cast<DType>(output["dtype"].cast<int>());
    one.tensor.pitch = one.tensor.row_length();
    out_.push_back(&one.tensor);
    if (output["unwanted"].cast<bool>()) return;
    one.tensor.bytes = static_cast<size_t>(one.tensor.count()) * SizeOf(one.tensor.dtype);
    one.data = Allocate(one.tensor.bytes);
    one.tensor.data = one.data.get();
  }

  const KernelEntry* entry_;
  std::deque<Held> held_;
  std::vector<Tensor*> in_, out_;
  ErrorSink errors_;
  alignas(16) std::byte params_[kParamsBytes] = {};
  Block scratch_;
  ThreadPool pool_;
  RunContext context_;
};

py::list RunKernel(const std::string& key, const std::vector<py::dict>& inputs, const py::dict& attributes,
                   const std::vector<py::dict>& outputs, int threads, int isa, bool thrifty) {
  SingleKernel kernel(key, inputs, attributes, outputs, threads, isa, thrifty ? 0 : kNoScratchLimit);
  {
    const py::gil_scoped_release release;
    kernel.Run();
  }
  py::list results;
  for (const Tensor* tensor : kernel.outputs()) results.append(py::bytes(tensor->as<char>(), tensor->bytes));
  return results;
}

std::vector<double> TimeKernel(const std::string& key, const std::vector<py::dict>& inputs,
                               const py::dict& attributes, const std::vector<py::dict>& outputs, int threads, int isa,
                               int repeats) {
  SingleKernel kernel(key, inputs, attributes, outputs, threads, isa, kNoScratchLimit);
  std::vector<double> seconds;
  const py::gil_scoped_release release;
  for (int i = 0; i < repeats; ++i) {
    const double start = platform::Now();
    kernel.Run();
    seconds.push_back(platform::Now() - start);
  }
  return seconds;
}

py::list KernelKeys() {
  py::list keys;
  ForEachKernel(
      [](const KernelEntry& entry, void* user) { static_cast<py::list*>(user)->append(py::str(entry.key)); }, &keys);
  return keys;
}

py::dict Isas() {
  py::dict isas;
  for (int level = 0; level < kIsas; ++level) {
    if (HasIsa(static_cast<Isa>(level))) isas[IsaName(static_cast<Isa>(level))] = level;
  }
  return isas;
}

py::list HalfIsas() {
  py::list isas;
  for (int level = 0; level < kIsas; ++level) {
    const Isa isa = static_cast<Isa>(level);
    if (HasIsa(isa) && math::MultipliesHalves(isa)) isas.append(level);
  }
  return isas;
}

}  // namespace

void BindSingleKernel(py::module_& module) {
  module.def("run_kernel", &RunKernel, py::arg("key"), py::arg("inputs"), py::arg("attrs"), py::arg("outputs"),
             py::arg("threads") = 1, py::arg("isa") = -1, py::arg("thrifty") = false,
             "Prepares and runs one kernel; returns the bytes of each output.");
  module.def("time_kernel", &TimeKernel, py::arg("key"), py::arg("inputs"), py::arg("attrs"), py::arg("outputs"),
             py::arg("threads"), py::arg("isa"), py::arg("repeats"),
             "Prepares a kernel once and runs it several times; returns the seconds of each run.");
  module.def("kernel_keys", &KernelKeys, "Keys of the kernels that are linked in.");
  module.def("isas", &Isas, "Instruction sets that this CPU runs: name -> number, the best last.");
  module.def("half_isas", &HalfIsas, "The numbers of those that multiply in half precision.");
}

}  // namespace wherry::python
