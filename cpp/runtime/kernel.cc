#include "runtime/kernel.h"

#include <cstdarg>
#include <cstdio>

namespace wherry {

void KernelContext::Format(char* text, size_t size, const char* format, ...) {
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, size, format, args);
  va_end(args);
}

Status KernelContext::FailText(Code code, const char* text) const {
  return errors_->Fail(code, "step '%.*s': %s", static_cast<int>(name_.size), name_.data, text);
}

Status PrepareContext::ExpectCounts(int inputs, int outputs) const {
  if (num_inputs() == inputs && num_outputs() == outputs) return Status::Ok();
  return Fail(Code::kCorrupt, "has %d inputs and %d outputs, needs %d and %d", num_inputs(), num_outputs(), inputs,
              outputs);
}

Status PrepareContext::ExpectInputType(int i, DType type) const {
  if (i < num_inputs() && input(i).dtype == type) return Status::Ok();
  return Fail(Code::kCorrupt, "input %d is not of type %s", i, ShortName(type));
}

Status PrepareContext::ExpectOutputType(int i, DType type) const {
  if (i < num_outputs() && output(i).dtype == type) return Status::Ok();
  return Fail(Code::kCorrupt, "output %d is not of type %s", i, ShortName(type));
}

Status PrepareContext::ExpectInputRank(int i, int rank) const {
  if (i < num_inputs() && input(i).rank == rank) return Status::Ok();
  return Fail(Code::kCorrupt, "input %d does not have rank %d", i, rank);
}

Status PrepareContext::ReadInts(int i, int64_t* values, size_t capacity, size_t* count) const {
  if (i >= num_inputs()) return Fail(Code::kCorrupt, "input %d is missing", i);
  const Tensor& tensor = input(i);
  if (tensor.data == nullptr) return Fail(Code::kCorrupt, "input %d must be a small constant", i);
  const int64_t n = tensor.count();
  if (n < 0 || static_cast<uint64_t>(n) > capacity) {
    return Fail(Code::kCorrupt, "input %d has %lld values, at most %zu fit", i, static_cast<long long>(n), capacity);
  }
  for (int64_t k = 0; k < n; ++k) {
    if (tensor.dtype == DType::kI32) {
      values[k] = tensor.as<const int32_t>()[k];
    } else if (tensor.dtype == DType::kI64) {
      values[k] = tensor.as<const int64_t>()[k];
    } else {
      return Fail(Code::kCorrupt, "input %d is not of an index type", i);
    }
  }
  *count = static_cast<size_t>(n);
  return Status::Ok();
}

Status PrepareContext::CheckPitch() const {
  const auto allowed = [](uint32_t mask, int i) { return (mask >> (i < 31 ? i : 31) & 1U) != 0; };
  for (int i = 0; i < num_inputs(); ++i) {
    if (!input(i).dense() && !allowed(pitched_inputs_, i)) {
      return Fail(Code::kCorrupt, "input %d is a part of another tensor's rows, which this kernel does not take", i);
    }
  }
  for (int i = 0; i < num_outputs(); ++i) {
    if (!output(i).dense() && !allowed(pitched_outputs_, i)) {
      return Fail(Code::kCorrupt, "output %d is a part of another tensor's rows, which this kernel does not make", i);
    }
  }
  return Status::Ok();
}

void StepBinder::Bind(PrepareContext& context) const {
  context.name_ = name;
  context.inputs_ = inputs;
  context.outputs_ = outputs;
  context.attrs_ = attrs;
  context.scratch_limit_ = scratch_limit;
  context.errors_ = errors;
  context.params_ = params;
  context.isa_ = isa;
  context.num_threads_ = num_threads;
}

void StepBinder::Bind(RunContext& context, std::byte* scratch, ThreadPool* threads) const {
  context.name_ = name;
  context.inputs_ = inputs;
  context.outputs_ = outputs;
  context.errors_ = errors;
  context.params_ = params;
  context.isa_ = isa;
  context.num_threads_ = num_threads;
  context.scratch_ = scratch;
  context.threads_ = threads;
}

}  // namespace wherry
