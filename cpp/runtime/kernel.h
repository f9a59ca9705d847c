// What a kernel is: a key, a Prepare function that checks, and a Run function that computes.
//
// Prepare runs once, when a pack is opened. It sees types, shapes, attributes and the data of small constants
// ("resident": shapes, axes, paddings), must reject whatever Run could not handle (packs may be hostile), and may
// keep up to kParamsBytes of plain data for Run and ask for scratch memory. Run computes and cannot fail except by
// a fault of the data (an index out of range). A kernel never allocates.
#ifndef WHERRY_RUNTIME_KERNEL_H_
#define WHERRY_RUNTIME_KERNEL_H_

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include "math/isa.h"
#include "runtime/attributes.h"
#include "runtime/status.h"
#include "runtime/tensor.h"
#include "runtime/threads.h"

namespace wherry {

inline constexpr size_t kParamsBytes = 256;
inline constexpr uint64_t kNoScratchLimit = ~uint64_t{0};
inline constexpr uint32_t kAllPitched = 0xFFFFFFFFU;

// What both phases share. All pointers are borrowed from the executor.
class KernelContext {
 public:
  int num_inputs() const { return static_cast<int>(inputs_.size()); }
  int num_outputs() const { return static_cast<int>(outputs_.size()); }
  const Tensor& input(int i) const { return *inputs_[static_cast<size_t>(i)]; }
  const Tensor& output(int i) const { return *outputs_[static_cast<size_t>(i)]; }
  Isa isa() const { return isa_; }
  int num_threads() const { return num_threads_; }
  // Plain data that Prepare leaves for Run.
  template <typename T>
  T& params() const {
    static_assert(sizeof(T) <= kParamsBytes && std::is_trivially_copyable_v<T>);
    return *static_cast<T*>(params_);
  }
  // The step's name and op are put in front of the message.
  template <typename... Args>
  Status Fail(Code code, const char* format, Args... args) const {
    char text[320];
    Format(text, sizeof(text), format, args...);
    return FailText(code, text);
  }

 protected:
  static void Format(char* text, size_t size, const char* format, ...);
  Status FailText(Code code, const char* text) const;

  friend class StepBinder;
  StringView name_;
  Span<Tensor* const> inputs_;
  Span<Tensor* const> outputs_;
  ErrorSink* errors_ = nullptr;
  void* params_ = nullptr;
  Isa isa_ = Isa::kPortable;
  int num_threads_ = 1;
};

class PrepareContext : public KernelContext {
 public:
  const Attributes& attrs() const { return attrs_; }
  // Bytes of scratch memory that Run will find in scratch(), aligned to 64. May depend on num_threads() and isa().
  void RequestScratch(uint64_t bytes) { scratch_bytes_ = bytes; }
  uint64_t scratch_bytes() const { return scratch_bytes_; }
  // As much scratch memory as there is for nothing. A kernel that can do with less, in smaller blocks or for fewer steps of a
  // sequence at a time, keeps to it as far as it can: less of the limit never makes it ask for more, and no bit of its
  // results depends on it.
  uint64_t scratch_limit() const { return scratch_limit_; }
  // Says that Run copes with outputs whose data is null because nobody reads them.
  void AllowUnusedOutputs() { unused_outputs_ = true; }
  bool allows_unused_outputs() const { return unused_outputs_; }
  // Says that Run copes with gaps between the rows of these inputs and outputs (Tensor::pitch): bit i stands for the i-th, the
  // last for all from there on. All others are dense.
  void AllowPitch(uint32_t inputs, uint32_t outputs) {
    pitched_inputs_ = inputs;
    pitched_outputs_ = outputs;
  }
  // Of a tensor with gaps that no one allowed.
  Status CheckPitch() const;

  // Checks that save every kernel the same lines.
  Status ExpectCounts(int inputs, int outputs) const;
  Status ExpectInputType(int i, DType type) const;
  Status ExpectOutputType(int i, DType type) const;
  Status ExpectInputRank(int i, int rank) const;
  // A resident constant of int32 or int64 whose values are read into `values` (at most `capacity`).
  Status ReadInts(int i, int64_t* values, size_t capacity, size_t* count) const;

 private:
  friend class StepBinder;
  Attributes attrs_;
  uint64_t scratch_bytes_ = 0;
  uint64_t scratch_limit_ = kNoScratchLimit;
  bool unused_outputs_ = false;
  uint32_t pitched_inputs_ = 0;
  uint32_t pitched_outputs_ = 0;
};

class RunContext : public KernelContext {
 public:
  std::byte* scratch() const { return scratch_; }
  ThreadPool& threads() const { return *threads_; }

 private:
  friend class StepBinder;
  std::byte* scratch_ = nullptr;
  ThreadPool* threads_ = nullptr;
};

struct KernelEntry {
  const char* key;  // "Conv2D_f32_wi8"; null ends a table
  Status (*prepare)(PrepareContext&);
  Status (*run)(RunContext&);
};

// Fills contexts; only the executor and the single-kernel runner of the tests use it.
class StepBinder {
 public:
  StringView name;
  Span<Tensor* const> inputs;
  Span<Tensor* const> outputs;
  Attributes attrs;
  uint64_t scratch_limit = kNoScratchLimit;
  ErrorSink* errors = nullptr;
  void* params = nullptr;
  Isa isa = Isa::kPortable;
  int num_threads = 1;

  void Bind(PrepareContext& context) const;
  void Bind(RunContext& context, std::byte* scratch, ThreadPool* threads) const;
};

// Looks a key up in the tables of all folders that are linked in; null when it is not there.
const KernelEntry* FindKernel(StringView key);
// Calls visit(entry, user) for every kernel that is linked in.
void ForEachKernel(void (*visit)(const KernelEntry& entry, void* user), void* user);

}  // namespace wherry

#endif  // WHERRY_RUNTIME_KERNEL_H_
