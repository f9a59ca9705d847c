// Runs a pack, partition by partition, inside a memory budget.
//
// Everything is allocated in Open(): the arena at the size the compiler planned, scratch memory, and the tables. What
// the budget leaves is for weights (runtime/streamer.h): as many as fit stay in memory, the others are read ahead of the
// steps that need them. A budget that is too small for that gets a thriftier plan (runtime/scratch.h); what decides is in
// executor_memory.cc. One thread at a time may use an executor; Cancel() and Trim() may come from any.
#ifndef WHERRY_RUNTIME_EXECUTOR_H_
#define WHERRY_RUNTIME_EXECUTOR_H_

#include <atomic>
#include <cstdint>

#include "platform/file.h"
#include "runtime/checkpoint.h"
#include "runtime/kernel.h"
#include "runtime/pack.h"
#include "runtime/scratch.h"
#include "runtime/streamer.h"

namespace wherry {

// What the first plan is made for; 0 stands for a guess.
struct DeviceSpeed {
  int cores = 0;           // that compute fast
  double float_macs = 0;   // multiply-accumulates of a core in a second
  double code_macs = 0;    // of 8-bit codes
  double storage_bytes = 0;  // that storage reads in a second
};

struct ExecutorOptions {
  int threads = 1;             // 0: one for each processor
  uint64_t memory_budget = 0;  // bytes; 0: the one the pack was planned for, or none
  PageCache page_cache = PageCache::kAuto;
  DeviceSpeed device;
};

struct ExecutorStats {
  double load_seconds = 0;       // Open()
  double inference_seconds = 0;  // the last Run()
  double io_seconds = 0;         // of that, waiting for weights
  uint64_t peak_bytes = 0;       // the most that was held at one time under the budget: metadata, arena, scratch, weights
  uint64_t runs = 0;
  int first_partition = 0;       // where the last run began: behind those that a checkpoint had
};

class Executor {
 public:
  // Called after each partition; a return value other than 0 cancels the run.
  using Progress = int (*)(void* user, int partitions_done, int partitions);

  Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  ~Executor();

  // Opens the pack in file(), which must have been opened. On error the executor can only be destroyed.
  Status Open(const ExecutorOptions& options);

  platform::File& file() { return file_; }
  const Pack& pack() const { return pack_; }
  ErrorSink& errors() { return errors_; }
  const ExecutorStats& stats() const { return stats_; }
  int num_partitions() const { return static_cast<int>(pack_.partitions.size()); }
  int num_inputs() const { return static_cast<int>(pack_.inputs.size()); }
  int num_outputs() const { return static_cast<int>(pack_.outputs.size()); }
  const Tensor& input(int i) const { return tensors_[pack_.inputs[static_cast<uint64_t>(i)].tensor]; }
  const Tensor& output(int i) const { return tensors_[pack_.outputs[static_cast<uint64_t>(i)].tensor]; }
  uint64_t memory_needed() const { return plain_needed_ < thrifty_needed_ ? plain_needed_ : thrifty_needed_; }

  uint64_t streamed_bytes() const { return weights_.streamed_bytes(); }

  // Lends `data` (exactly input(i).bytes, aligned for its type) until the next Run() has ended.
  Status SetInput(int i, const void* data, uint64_t bytes);
  void SetProgress(Progress progress, void* user);
  // Runs keep a checkpoint there, and take it up (runtime/checkpoint.h). Null switches it off. Not during a run.
  Status SetCheckpoint(const char* path);
  // For a checkpoint that was set: how many partitions it has, or Checkpoint::kNone. While all inputs are set, one of other
  // inputs is none.
  int FindCheckpoint() const;
  bool has_checkpoint() const { return checkpoint_.on(); }
  // Plans again for another budget; 0 is what the pack was planned for. Not during a run. What is too small changes nothing.
  Status SetMemoryBudget(uint64_t bytes);
  // Gives back all memory that a next run can read again.
  void Trim() { weights_.Trim(); }
  // Runs the whole pack. Outputs are valid until the next Run().
  Status Run();
  bool has_outputs() const { return has_outputs_; }  // the last run ended well
  // Concerns the run in progress only.
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }

 private:
  struct Step {
    const KernelEntry* kernel = nullptr;
    Tensor** tensors = nullptr;  // inputs, then outputs
    uint32_t num_inputs = 0;
    uint32_t num_outputs = 0;
    std::byte* params = nullptr;
  };

  Status BuildTensors();
  Status BuildSteps(const DeviceSpeed& device);
  Status PrepareStep(uint64_t i, uint64_t scratch_limit, std::byte* params, size_t* scratch_bytes);
  size_t ScratchBytes(size_t step, uint64_t limit);
  static size_t ScratchBytesOf(void* self, size_t step, uint64_t limit);
  Status PlanMemory();
  Status AllocateArena();
  Status PlaceFor(uint64_t budget, bool thrifty);
  Status UseScratch(Span<const StepScratch> scratch, size_t end);
  uint64_t FixedBytes(size_t arena_end) const;
  int MissingInput() const;  // the first; num_inputs() where none is
  uint64_t HashInputs() const;
  Status RunAll();
  Status RunPartitions(int first);
  Status RunPartition(int partition);
  Status RunStep(uint64_t step);
  void GuardStep(uint64_t step, bool close);
  void Lend(int input, const void* data);
  void BindWeights(uint64_t step);
  StepBinder BinderOf(uint64_t i);

  platform::File file_;
  Pack pack_;
  ErrorSink errors_;
  ExecutorStats stats_;
  Checkpoint checkpoint_;
  Streamer weights_;
  ThreadPool threads_;
  Isa isa_ = Isa::kPortable;
  Array<Tensor> tensors_;
  Array<int64_t> dims_;
  Array<Step> steps_;
  Array<Attribute> attributes_;   // of the step that is being prepared
  Array<StepScratch> scratch_;
  Array<double> step_seconds_;    // of computation: as measured, or guessed from what the pack says
  Array<Tensor*> step_tensors_;
  Array<std::byte> params_;
  std::byte* arena_ = nullptr;    // arena_bytes_, then what steps need that find no room in it
  size_t arena_bytes_ = 0;
  size_t arena_end_ = 0;          // that is in use
  size_t arena_most_ = 0;         // the largest that any budget uses; pages that none does take no memory
  size_t least_end_ = 0;          // of the thrifty plan
  bool thrifty_ = false;          // runtime/scratch.h: the other of the two ways
  uint64_t plain_needed_ = 0;     // the smallest budgets that the two plans run in
  uint64_t thrifty_needed_ = 0;
  uint64_t fixed_bytes_ = 0;      // all but streamed weights
  Progress progress_ = nullptr;
  void* progress_user_ = nullptr;
  bool has_outputs_ = false;
  std::atomic<bool> cancelled_{false};
};

}  // namespace wherry

#endif  // WHERRY_RUNTIME_EXECUTOR_H_
