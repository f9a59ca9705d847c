// The C API over Executor. Handles are made with posix_memalign, so that no C++ runtime library is needed.
#include <cstdlib>
#include <cstring>
#include <new>

#include "runtime/executor.h"
#include "wherry/wherry.h"

using wherry::Code;
using wherry::Executor;
using wherry::Status;

struct wherry_model {
  Executor executor;
  wherry::Array<char> names;  // of inputs, then outputs, each ended by NUL
  wherry::Array<const char*> name_of;
  bool ready = false;
};

namespace {

wherry_status ToC(Status status) { return static_cast<wherry_status>(status.code()); }

wherry_status FromErrno(wherry_model* model, int error, const char* what) {
  return ToC(model->executor.errors().Fail(Code::kIo, "%s: %s", what, std::strerror(error)));
}

bool CopyNames(wherry_model* model) {
  const wherry::Pack& pack = model->executor.pack();
  const uint64_t inputs = pack.inputs.size(), count = inputs + pack.outputs.size();
  const auto name = [&](uint64_t i) {
    return pack.String(i < inputs ? pack.inputs[i].name : pack.outputs[i - inputs].name);
  };
  size_t bytes = 0;
  for (uint64_t i = 0; i < count; ++i) bytes += name(i).size + 1;
  if (!model->names.Allocate(bytes) || !model->name_of.Allocate(static_cast<size_t>(count))) return false;
  char* at = model->names.data();
  for (uint64_t i = 0; i < count; ++i) {
    const wherry::StringView text = name(i);
    std::memcpy(at, text.data, text.size);
    model->name_of[static_cast<size_t>(i)] = at;
    at += text.size + 1;
  }
  return true;
}

wherry_status Open(wherry_model* model, const wherry_options* options) {
  wherry::ExecutorOptions chosen;
  if (options != nullptr) {
    if (options->threads < 0) {
      return ToC(model->executor.errors().Fail(Code::kInvalidArgument, "threads is %d, it must be 0 or more",
                                               options->threads));
    }
    chosen.threads = options->threads;
    chosen.memory_budget = options->memory_budget;
    if (options->page_cache < WHERRY_CACHE_AUTO || options->page_cache > WHERRY_CACHE_LEAVE) {
      return ToC(model->executor.errors().Fail(Code::kInvalidArgument, "page_cache is %d, which is none of its values",
                                               static_cast<int>(options->page_cache)));
    }
    chosen.page_cache = static_cast<wherry::PageCache>(options->page_cache);
    if (options->device != nullptr) {
      const wherry_device& device = *options->device;
      const auto possible = [](double rate) { return rate >= 0 && rate < 1e18; };
      if (device.cores < 0 || !possible(device.float_macs) || !possible(device.integer_macs) || !possible(device.storage_bytes)) {
        return ToC(model->executor.errors().Fail(Code::kInvalidArgument, "no device has such a number of cores or such a speed"));
      }
      chosen.device = {device.cores, device.float_macs, device.integer_macs, device.storage_bytes};
    }
  }
  const Status status = model->executor.Open(chosen);
  if (!status.ok()) return ToC(status);
  if (!CopyNames(model)) {
    return ToC(model->executor.errors().Fail(Code::kOutOfMemory, "no memory for the names of inputs and outputs"));
  }
  model->ready = true;
  return WHERRY_OK;
}

wherry_model* NewModel(wherry_model** model) {
  void* memory = nullptr;  // aligned to what threads share, which malloc does not promise
  if (posix_memalign(&memory, alignof(wherry_model), sizeof(wherry_model)) != 0) memory = nullptr;
  *model = memory == nullptr ? nullptr : new (memory) wherry_model();
  return *model;
}

wherry_status NotReady(wherry_model* model) {
  return ToC(model->executor.errors().Fail(Code::kWrongState, "the pack was not opened"));
}

void Describe(const wherry_model* model, const wherry::Tensor& tensor, int32_t name, wherry_tensor_info* info) {
  info->name = model->name_of[static_cast<size_t>(name)];
  info->dtype = static_cast<wherry_dtype>(tensor.dtype);
  info->rank = tensor.rank;
  info->dims = tensor.dims;
  info->bytes = static_cast<size_t>(tensor.bytes);
}

wherry_status NoSuch(wherry_model* model, const char* what, int32_t index, int32_t count) {
  return ToC(model->executor.errors().Fail(Code::kUnknownName, "there is no %s %d, the pack has %d", what, index, count));
}

}  // namespace

extern "C" {

wherry_status wherry_open_path(const char* path, const wherry_options* options, wherry_model** model) {
  if (model == nullptr) return WHERRY_INVALID_ARGUMENT;
  *model = nullptr;
  if (path == nullptr) return WHERRY_INVALID_ARGUMENT;
  if (NewModel(model) == nullptr) return WHERRY_OUT_OF_MEMORY;
  wherry::ErrorSink& errors = (*model)->executor.errors();
  const int error = (*model)->executor.file().OpenPath(path);
  const wherry_status status =
      error == 0 ? Open(*model, options) : ToC(errors.Fail(Code::kIo, "%s", std::strerror(error)));
  if (status != WHERRY_OK) errors.Prepend(path);
  return status;
}

wherry_status wherry_open_descriptor(int descriptor, uint64_t offset, uint64_t bytes, const wherry_options* options,
                                     wherry_model** model) {
  if (model == nullptr) return WHERRY_INVALID_ARGUMENT;
  if (NewModel(model) == nullptr) return WHERRY_OUT_OF_MEMORY;
  const int error = (*model)->executor.file().OpenDescriptor(descriptor, offset, bytes);
  if (error != 0) return FromErrno(*model, error, "the descriptor cannot be read");
  return Open(*model, options);
}

wherry_status wherry_open_memory(const void* data, size_t bytes, const wherry_options* options, wherry_model** model) {
  if (model == nullptr) return WHERRY_INVALID_ARGUMENT;
  *model = nullptr;
  if (data == nullptr) return WHERRY_INVALID_ARGUMENT;
  if (NewModel(model) == nullptr) return WHERRY_OUT_OF_MEMORY;
  if (reinterpret_cast<uintptr_t>(data) % 8 != 0) {
    return ToC((*model)->executor.errors().Fail(Code::kInvalidArgument, "the pack's memory must be aligned to 8 bytes"));
  }
  (*model)->executor.file().OpenMemory(data, bytes);
  return Open(*model, options);
}

void wherry_close(wherry_model* model) {
  if (model == nullptr) return;
  model->~wherry_model();
  std::free(model);
}

const char* wherry_message(const wherry_model* model) {
  return model == nullptr ? "there is no model" : const_cast<wherry_model*>(model)->executor.errors().message();
}

int32_t wherry_input_count(const wherry_model* model) {
  return model == nullptr || !model->ready ? 0 : model->executor.num_inputs();
}

int32_t wherry_output_count(const wherry_model* model) {
  return model == nullptr || !model->ready ? 0 : model->executor.num_outputs();
}

wherry_status wherry_input_info(wherry_model* model, int32_t index, wherry_tensor_info* info) {
  if (model == nullptr || info == nullptr) return WHERRY_INVALID_ARGUMENT;
  if (!model->ready) return NotReady(model);
  const int32_t count = model->executor.num_inputs();
  if (index < 0 || index >= count) return NoSuch(model, "input", index, count);
  Describe(model, model->executor.input(index), index, info);
  return WHERRY_OK;
}

wherry_status wherry_output_info(wherry_model* model, int32_t index, wherry_tensor_info* info) {
  if (model == nullptr || info == nullptr) return WHERRY_INVALID_ARGUMENT;
  if (!model->ready) return NotReady(model);
  const int32_t count = model->executor.num_outputs();
  if (index < 0 || index >= count) return NoSuch(model, "output", index, count);
  Describe(model, model->executor.output(index), model->executor.num_inputs() + index, info);
  return WHERRY_OK;
}

wherry_status wherry_set_input(wherry_model* model, int32_t index, const void* data, size_t bytes) {
  if (model == nullptr) return WHERRY_INVALID_ARGUMENT;
  if (!model->ready) return NotReady(model);
  return ToC(model->executor.SetInput(index, data, bytes));
}

wherry_status wherry_run(wherry_model* model) {
  if (model == nullptr) return WHERRY_INVALID_ARGUMENT;
  if (!model->ready) return NotReady(model);
  return ToC(model->executor.Run());
}

wherry_status wherry_output(wherry_model* model, int32_t index, const void** data, size_t* bytes) {
  if (model == nullptr || data == nullptr) return WHERRY_INVALID_ARGUMENT;
  if (!model->ready) return NotReady(model);
  const int32_t count = model->executor.num_outputs();
  if (index < 0 || index >= count) return NoSuch(model, "output", index, count);
  if (!model->executor.has_outputs()) {
    return ToC(model->executor.errors().Fail(Code::kWrongState, "there is no output before a run that ended well"));
  }
  const wherry::Tensor& tensor = model->executor.output(index);
  *data = tensor.data;
  if (bytes != nullptr) *bytes = static_cast<size_t>(tensor.bytes);
  return WHERRY_OK;
}

wherry_status wherry_set_progress(wherry_model* model, wherry_progress progress, void* user) {
  if (model == nullptr) return WHERRY_INVALID_ARGUMENT;
  model->executor.SetProgress(progress, user);
  return WHERRY_OK;
}

wherry_status wherry_cancel(wherry_model* model) {
  if (model == nullptr) return WHERRY_INVALID_ARGUMENT;
  model->executor.Cancel();
  return WHERRY_OK;
}

wherry_status wherry_set_memory_budget(wherry_model* model, uint64_t bytes) {
  if (model == nullptr) return WHERRY_INVALID_ARGUMENT;
  if (!model->ready) return NotReady(model);
  return ToC(model->executor.SetMemoryBudget(bytes));
}

wherry_status wherry_trim_memory(wherry_model* model) {
  if (model == nullptr) return WHERRY_INVALID_ARGUMENT;
  if (model->ready) model->executor.Trim();
  return WHERRY_OK;
}

wherry_status wherry_set_checkpoint(wherry_model* model, const char* path) {
  if (model == nullptr) return WHERRY_INVALID_ARGUMENT;
  if (!model->ready) return NotReady(model);
  return ToC(model->executor.SetCheckpoint(path));
}

wherry_status wherry_checkpoint_state(wherry_model* model, wherry_checkpoint* checkpoint) {
  if (model == nullptr || checkpoint == nullptr) return WHERRY_INVALID_ARGUMENT;
  if (!model->ready) return NotReady(model);
  if (!model->executor.has_checkpoint()) {
    return ToC(model->executor.errors().Fail(Code::kWrongState, "there is no checkpoint; set its path first"));
  }
  const int done = model->executor.FindCheckpoint(), partitions = model->executor.num_partitions();
  checkpoint->kind = done == wherry::Checkpoint::kNone ? WHERRY_CHECKPOINT_NONE
                     : done == partitions              ? WHERRY_CHECKPOINT_COMPLETED
                                                       : WHERRY_CHECKPOINT_INTERRUPTED;
  checkpoint->partitions_done = done == wherry::Checkpoint::kNone ? 0 : done;
  checkpoint->partitions = partitions;
  return WHERRY_OK;
}

wherry_status wherry_get_stats(const wherry_model* model, wherry_stats* stats) {
  if (model == nullptr || stats == nullptr) return WHERRY_INVALID_ARGUMENT;
  const wherry::ExecutorStats& from = model->executor.stats();
  stats->load_seconds = from.load_seconds;
  stats->inference_seconds = from.inference_seconds;
  stats->io_seconds = from.io_seconds;
  stats->peak_bytes = from.peak_bytes;
  stats->memory_needed = model->executor.memory_needed();
  stats->runs = from.runs;
  stats->partitions = model->executor.num_partitions();
  stats->first_partition = from.first_partition;
  stats->streamed_bytes = model->executor.streamed_bytes();
  return WHERRY_OK;
}

const char* wherry_version(void) { return WHERRY_VERSION; }

}  // extern "C"
