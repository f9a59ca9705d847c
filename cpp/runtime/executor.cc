#include "runtime/executor.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <new>

#include "platform/pages.h"
#include "runtime/guard.h"
#include "runtime/hash.h"

namespace wherry {
namespace {

constexpr uint64_t kMaxScratch = uint64_t{1} << (sizeof(size_t) > 4 ? 46 : 30);

// Until a step has run, where no device is given: what one thread does in a second, in floats and in whole numbers, and what
// every step takes. Only what they are to each other and to reading matters, for what stays in memory (runtime/residency.h).
constexpr double kGuessedMacsPerSecond = 2e10;
constexpr double kGuessedCodeMacsPerSecond = 1e11;
constexpr double kGuessedStepSeconds = 2e-6;

// Of a kernel by its key: 8-bit codes are multiplied under keys in di8 and by QLinear ops.
double MacsPerSecond(StringView key, const DeviceSpeed& device) {
  const auto has = [key](StringView part, size_t at) {
    return key.size >= part.size && std::memcmp(key.data + at, part.data, part.size) == 0;
  };
  const StringView dynamic = "_di8", fixed = "QLinear";
  const bool codes = (key.size >= dynamic.size && has(dynamic, key.size - dynamic.size)) || has(fixed, 0);
  if (codes) return device.code_macs > 0 ? device.code_macs : kGuessedCodeMacsPerSecond;
  return device.float_macs > 0 ? device.float_macs : kGuessedMacsPerSecond;
}

constexpr size_t RoundUp(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

format::Place PlaceOf(const format::TensorRecord& record) { return static_cast<format::Place>(record.place); }

// The weight's scales stand beside it in its segment.
void BindQuantization(const format::QuantRecord& record, const std::byte* segment, Quantization* quant) {
  quant->format = static_cast<WeightFormat>(record.format);
  quant->bits = record.bits;
  quant->axis = record.axis;
  quant->split = record.split;
  quant->channels = static_cast<int64_t>(record.channels);
  const auto at = [segment](uint64_t offset) {
    return segment == nullptr || offset == format::kNone64 ? nullptr
                                                           : reinterpret_cast<const float*>(segment + offset);
  };
  quant->scale = at(record.scale);
  quant->offset = at(record.offset);
}

}  // namespace

Executor::~Executor() {
  threads_.Stop();
  platform::FreePages(arena_, arena_most_);
}

Status Executor::Open(const ExecutorOptions& options) {
  const double start = platform::Now();
  if (options.page_cache == PageCache::kLeave) file_.SetReadAhead(false);
  WHERRY_RETURN_IF_ERROR(pack_.Open(file_, errors_));
  WHERRY_RETURN_IF_ERROR(weights_.Open(file_, pack_, options.page_cache, errors_));
  isa_ = BestIsa();
  WHERRY_RETURN_IF_ERROR(threads_.Start(options.threads > 0 ? options.threads : platform::ProcessorCount(), errors_));
  weights_.SetMapsAhead(threads_.size() > 1);
  WHERRY_RETURN_IF_ERROR(BuildTensors());
  WHERRY_RETURN_IF_ERROR(BuildSteps(options.device));
  if (options.device.storage_bytes > 0) weights_.SetReadSpeed(options.device.storage_bytes);
  WHERRY_RETURN_IF_ERROR(PlanMemory());
  WHERRY_RETURN_IF_ERROR(SetMemoryBudget(options.memory_budget));
  if (arena_most_ > 0) WHERRY_RETURN_IF_ERROR(AllocateArena());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (PlaceOf(pack_.tensors[i]) == format::Place::kArena) tensors_[i].data = arena_ + pack_.tensors[i].offset;
  }
  stats_.load_seconds = platform::Now() - start;
  return Status::Ok();
}

Status Executor::BuildTensors() {
  const size_t count = static_cast<size_t>(pack_.tensors.size());
  if (!tensors_.Allocate(count) || !dims_.Allocate(static_cast<size_t>(pack_.ints.size()))) {
    return errors_.Fail(Code::kOutOfMemory, "no memory for a table of %zu tensors", count);
  }
  for (size_t i = 0; i < dims_.size(); ++i) dims_[i] = pack_.ints[i];
  for (size_t i = 0; i < count; ++i) {
    const format::TensorRecord& record = pack_.tensors[i];
    Tensor& tensor = *new (&tensors_[i]) Tensor();
    tensor.dims = dims_.data() + record.dims;
    tensor.rank = record.rank;
    tensor.dtype = static_cast<DType>(record.dtype);
    tensor.layout = static_cast<Layout>(record.layout);
    tensor.bytes = PlaceOf(record) == format::Place::kNowhere ? 0 : record.bytes;
    tensor.pitch = pack_.PitchOf(record);
    if (PlaceOf(record) != format::Place::kSegment) continue;
    const std::byte* segment = weights_.segment(record.owner);  // null unless it is resident
    if (segment != nullptr) tensor.data = const_cast<std::byte*>(segment + record.offset);
    if (record.quant != format::kNone) BindQuantization(pack_.quants[record.quant], segment, &tensor.quant);
  }
  return Status::Ok();
}

StepBinder Executor::BinderOf(uint64_t i) {
  const Step& step = steps_[i];
  StepBinder binder;
  binder.name = pack_.String(pack_.steps[i].name);
  binder.inputs = {step.tensors, step.num_inputs};
  binder.outputs = {step.tensors + step.num_inputs, step.num_outputs};
  binder.errors = &errors_;
  binder.params = step.params;
  binder.isa = isa_;
  binder.num_threads = threads_.size();
  return binder;
}

Status Executor::PrepareStep(uint64_t i, uint64_t scratch_limit, std::byte* params, size_t* scratch_bytes) {
  const format::StepRecord& record = pack_.steps[i];
  for (size_t k = 0; k < record.num_attributes; ++k) {
    const format::AttributeRecord& from = pack_.attributes[record.attributes + k];
    Attribute& to = *new (&attributes_[k]) Attribute();
    to.name = pack_.String(from.name);
    to.kind = static_cast<AttrKind>(from.kind);
    switch (to.kind) {
      case AttrKind::kInt: to.i = static_cast<int64_t>(from.value); break;
      case AttrKind::kFloat: std::memcpy(&to.f, &from.value, sizeof(to.f)); break;
      case AttrKind::kString: to.s = pack_.String({static_cast<uint32_t>(from.value), from.size}); break;
      case AttrKind::kInts: to.ints = {dims_.data() + from.value, from.size}; break;
    }
  }
  StepBinder binder = BinderOf(i);
  binder.attrs = Attributes({attributes_.data(), static_cast<size_t>(record.num_attributes)});
  binder.scratch_limit = scratch_limit;
  binder.params = params;
  PrepareContext context;
  binder.Bind(context);
  WHERRY_RETURN_IF_ERROR(steps_[i].kernel->prepare(context));
  WHERRY_RETURN_IF_ERROR(context.CheckPitch());
  for (uint64_t k = 0; k < record.num_outputs && !context.allows_unused_outputs(); ++k) {
    if (PlaceOf(pack_.tensors[pack_.indexes[record.outputs + k]]) == format::Place::kNowhere) {
      return context.Fail(Code::kCorrupt, "output %d has no place", static_cast<int>(k));
    }
  }
  if (context.scratch_bytes() > kMaxScratch) {
    return context.Fail(Code::kCorrupt, "needs %" PRIu64 " bytes of scratch memory", context.scratch_bytes());
  }
  *scratch_bytes = RoundUp(static_cast<size_t>(context.scratch_bytes()), 64);
  return Status::Ok();
}

Status Executor::BuildSteps(const DeviceSpeed& device) {
  const int cores = device.cores > 0 && device.cores < threads_.size() ? device.cores : threads_.size();
  const size_t count = static_cast<size_t>(pack_.steps.size());
  size_t tensors = 0, most_attributes = 0;
  for (size_t i = 0; i < count; ++i) {
    const format::StepRecord& record = pack_.steps[i];
    tensors += size_t{record.num_inputs} + record.num_outputs;
    if (record.num_attributes > most_attributes) most_attributes = record.num_attributes;
  }
  if (!steps_.Allocate(count) || !scratch_.Allocate(count) || !step_seconds_.Allocate(count) ||
      !step_tensors_.Allocate(tensors) ||
      !params_.Allocate(count * kParamsBytes) || !attributes_.Allocate(most_attributes)) {
    return errors_.Fail(Code::kOutOfMemory, "no memory for a table of %zu steps", count);
  }
  Array<const KernelEntry*> kernels;
  if (!kernels.Allocate(static_cast<size_t>(pack_.kernels.size()))) {
    return errors_.Fail(Code::kOutOfMemory, "no memory for a table of kernels");
  }
  for (size_t i = 0; i < kernels.size(); ++i) {
    const StringView key = pack_.String(pack_.kernels[i]);
    kernels[i] = FindKernel(key);
    if (kernels[i] == nullptr) {
      return errors_.Fail(Code::kMissingKernel,
                          "this library has no kernel %.*s, which the pack needs: build the library for this pack",
                          static_cast<int>(key.size), key.data);
    }
  }
  Tensor** next = step_tensors_.data();
  for (size_t i = 0; i < count; ++i) {
    const format::StepRecord& record = pack_.steps[i];
    Step& step = *new (&steps_[i]) Step();
    step.kernel = kernels[record.kernel];
    step.tensors = next;
    step.num_inputs = record.num_inputs;
    step.num_outputs = record.num_outputs;
    step.params = params_.data() + i * kParamsBytes;
    step_seconds_[i] = kGuessedStepSeconds +
                       1e3 * static_cast<double>(record.kilo_macs) /
                           (MacsPerSecond(pack_.String(pack_.kernels[record.kernel]), device) * cores);
    for (uint64_t k = 0; k < record.num_inputs; ++k) *next++ = &tensors_[pack_.indexes[record.inputs + k]];
    for (uint64_t k = 0; k < record.num_outputs; ++k) *next++ = &tensors_[pack_.indexes[record.outputs + k]];
    WHERRY_RETURN_IF_ERROR(PrepareStep(i, kNoScratchLimit, step.params, &scratch_[i].bytes));
  }
  return Status::Ok();
}

Status Executor::SetInput(int i, const void* data, uint64_t bytes) {
  if (i < 0 || i >= num_inputs()) {
    return errors_.Fail(Code::kUnknownName, "there is no input %d, the pack has %d", i, num_inputs());
  }
  const uint32_t number = pack_.inputs[static_cast<uint64_t>(i)].tensor;
  Tensor& tensor = tensors_[number];
  const StringView name = pack_.String(pack_.inputs[static_cast<uint64_t>(i)].name);
  if (bytes != tensor.bytes) {
    return errors_.Fail(Code::kShapeMismatch, "input '%.*s' takes %" PRIu64 " bytes, not %" PRIu64,
                        static_cast<int>(name.size), name.data, tensor.bytes, bytes);
  }
  if (data == nullptr || reinterpret_cast<uintptr_t>(data) % SizeOf(tensor.dtype) != 0) {
    return errors_.Fail(Code::kInvalidArgument, "input '%.*s' is null or not aligned for its type",
                        static_cast<int>(name.size), name.data);
  }
  Lend(i, data);
  return Status::Ok();
}

void Executor::SetProgress(Progress progress, void* user) {
  progress_ = progress;
  progress_user_ = user;
}

void Executor::BindWeights(uint64_t i) {
  const format::StepRecord& step = pack_.steps[i];
  for (uint64_t k = 0; k < step.num_inputs; ++k) {
    const uint32_t number = pack_.indexes[step.inputs + k];
    const format::TensorRecord& record = pack_.tensors[number];
    if (PlaceOf(record) != format::Place::kSegment) continue;
    const std::byte* segment = weights_.segment(record.owner);
    tensors_[number].data = segment == nullptr ? nullptr : const_cast<std::byte*>(segment + record.offset);
    if (record.quant != format::kNone) {
      BindQuantization(pack_.quants[record.quant], segment, &tensors_[number].quant);
    }
  }
}

// Of the weights only the step's own segments are closed: the reading thread is busy with the others.
void Executor::GuardStep(uint64_t s, bool close) {
  const auto all = close ? &guard::Close : &guard::Open;
  all(arena_, arena_bytes_);
  const format::StepRecord& record = pack_.steps[s];
  for (uint64_t k = 0; k < record.num_inputs; ++k) {
    const format::TensorRecord& tensor = pack_.tensors[pack_.indexes[record.inputs + k]];
    if (PlaceOf(tensor) != format::Place::kSegment) continue;
    if ((pack_.segments[tensor.owner].flags & format::kSegmentResident) != 0) continue;
    all(weights_.segment(tensor.owner), static_cast<size_t>(pack_.segments[tensor.owner].bytes));
  }
  const Step& step = steps_[s];
  guard::Open(arena_ + scratch_[s].offset, scratch_[s].bytes);
  for (uint32_t k = 0; k < step.num_inputs + step.num_outputs; ++k) {
    const Tensor& tensor = *step.tensors[k];
    const auto channels = static_cast<uint64_t>(tensor.quant.channels);
    const auto scales = static_cast<size_t>(ScaleBytes(channels));
    const auto offsets = static_cast<size_t>(OffsetBytes(tensor.quant.format, tensor.quant.split, channels));
    guard::Open(tensor.data, static_cast<size_t>(tensor.bytes));
    if (tensor.quant.scale != nullptr) guard::Open(tensor.quant.scale, scales);
    if (tensor.quant.offset != nullptr) guard::Open(tensor.quant.offset, offsets);
  }
}

Status Executor::RunStep(uint64_t s) {
  const StepScratch& scratch = scratch_[s];
  WHERRY_RETURN_IF_ERROR(weights_.elsewhere(s) ? weights_.Read(s, arena_ + scratch.offset + scratch.bytes, errors_)
                                               : weights_.Acquire(s, errors_));
  if (weights_.moved() || weights_.elsewhere(s)) BindWeights(s);
  if (weights_.owes()) {
    threads_.Defer([](void* weights) { static_cast<Streamer*>(weights)->MapAhead(); }, &weights_);
  }
  RunContext context;
  BinderOf(s).Bind(context, arena_ + scratch.offset, &threads_);
  if constexpr (guard::kOn) GuardStep(s, true);
  const double start = platform::Now();
  const Status status = steps_[s].kernel->run(context);
  const double seconds = platform::Now() - start;
  if constexpr (guard::kOn) GuardStep(s, false);
  if (stats_.runs == 0 || seconds < step_seconds_[s]) step_seconds_[s] = seconds;
  weights_.Release(s);
  return status;
}

Status Executor::RunPartition(int index) {
  const format::PartitionRecord& partition = pack_.partitions[static_cast<uint64_t>(index)];
  for (uint64_t s = partition.first_step; s < uint64_t{partition.first_step} + partition.num_steps; ++s) {
    if (cancelled_.load(std::memory_order_relaxed)) return errors_.Fail(Code::kCancelled, "the run was cancelled");
    WHERRY_RETURN_IF_ERROR(RunStep(s));
  }
  return Status::Ok();
}

Status Executor::Run() {
  cancelled_.store(false, std::memory_order_relaxed);
  has_outputs_ = false;
  const Status status = RunAll();
  for (int i = 0; i < num_inputs(); ++i) Lend(i, nullptr);  // they were lent for this run only
  has_outputs_ = status.ok();
  return status;
}

void Executor::Lend(int i, const void* data) {
  for (size_t t = 0; t < tensors_.size(); ++t) {
    if (PlaceOf(pack_.tensors[t]) == format::Place::kExternal && pack_.tensors[t].owner == static_cast<uint32_t>(i)) {
      tensors_[t].data = const_cast<void*>(data);
    }
  }
}

int Executor::MissingInput() const {
  int i = 0;
  while (i < num_inputs() && (input(i).data != nullptr || input(i).bytes == 0)) ++i;
  return i;
}

uint64_t Executor::HashInputs() const {
  uint64_t hash = 0;
  for (int i = 0; i < num_inputs(); ++i) hash = Chain64(hash, input(i).data, static_cast<size_t>(input(i).bytes));
  return hash;
}

Status Executor::SetCheckpoint(const char* path) {
  checkpoint_.Unset();
  return path == nullptr ? Status::Ok() : checkpoint_.Set(path, file_, pack_, isa_, errors_);
}

int Executor::FindCheckpoint() const {
  const bool with_inputs = MissingInput() == num_inputs();
  const uint64_t hash = with_inputs ? HashInputs() : 0;
  return checkpoint_.Find(with_inputs ? &hash : nullptr);
}

Status Executor::RunAll() {
  const double start = platform::Now();
  if (const int i = MissingInput(); i < num_inputs()) {
    const StringView name = pack_.String(pack_.inputs[static_cast<uint64_t>(i)].name);
    return errors_.Fail(Code::kWrongState, "input '%.*s' was not set", static_cast<int>(name.size), name.data);
  }
  int first = 0;
  if (checkpoint_.on()) WHERRY_RETURN_IF_ERROR(checkpoint_.Begin(HashInputs(), arena_, &first, errors_));
  stats_.first_partition = first;
  const double waited = weights_.wait_seconds();
  if (first < num_partitions()) {
    WHERRY_RETURN_IF_ERROR(weights_.Begin(pack_.partitions[static_cast<uint64_t>(first)].first_step, errors_));
    const Status status = RunPartitions(first);
    weights_.End(status.ok());
    stats_.peak_bytes = std::max(stats_.peak_bytes, fixed_bytes_ + weights_.peak_bytes());
    WHERRY_RETURN_IF_ERROR(status);
  }
  stats_.io_seconds = weights_.wait_seconds() - waited;
  stats_.inference_seconds = platform::Now() - start;
  ++stats_.runs;
  return Status::Ok();
}

Status Executor::RunPartitions(int first) {
  const int partitions = num_partitions();
  for (int p = first; p < partitions; ++p) {
    WHERRY_RETURN_IF_ERROR(RunPartition(p));
    if (checkpoint_.on()) WHERRY_RETURN_IF_ERROR(checkpoint_.Write(p + 1, arena_, errors_));
    if (progress_ != nullptr && progress_(progress_user_, p + 1, partitions) != 0) Cancel();
  }
  if (cancelled_.load(std::memory_order_relaxed)) return errors_.Fail(Code::kCancelled, "the run was cancelled");
  return Status::Ok();
}

}  // namespace wherry
