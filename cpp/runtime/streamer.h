// The weights of a pack in memory: those that stay, and a window for those that are read again in every run.
//
// One thread reads ahead of the computation, in the order in which steps run, and goes on into the next run. What it
// reads at a time is a chunk: the weights of some steps that follow one another, in few large requests. A chunk is
// mapped where the file is in the system's page cache, and given back by unmapping it; otherwise it is read past the
// cache into a ring of buffers. A large window is mapped in blocks of 2 MiB, for which the processor has pages. Segments
// are checked against their checksums the first time that they are read. Where the limit is too small for what a step
// needs at once, its weights can be read to a place that the caller has for them, and only when the step begins.
//
// Where the page cache has all weights, nothing stays, and once all are checked no thread reads: the computing one maps
// as many blocks as the window holds, and gives all of them back at once. That takes less time than waking a thread
// that would have to share a processor.
//
// streamer_planning.cc decides what is read how, streamer.cc has what the computing thread does, streamer_reading.cc how
// chunks come and go.
//
// Open, SetLimit, Begin, Acquire, Release and End are for one thread, the one that computes. Trim may come from any.
#ifndef WHERRY_RUNTIME_STREAMER_H_
#define WHERRY_RUNTIME_STREAMER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "platform/file.h"
#include "platform/pages.h"
#include "platform/thread.h"
#include "runtime/pack.h"
#include "runtime/residency.h"
#include "runtime/ring.h"
#include "runtime/span.h"
#include "runtime/status.h"

namespace wherry {

// Whether streamed weights may stay in the system's page cache. The values are those of the C API.
enum class PageCache : int32_t {
  kAuto = 0,   // where there is memory for them
  kUse = 1,
  kLeave = 2,  // they are read past it, unless they are there already
};

class Streamer {
 public:
  Streamer() = default;
  Streamer(const Streamer&) = delete;
  Streamer& operator=(const Streamer&) = delete;
  ~Streamer();

  // Maps the file, reads the pack's small constants, and lists what each step reads. All weights will stay, until
  // SetLimit says otherwise. `file` and `pack` must outlive this object.
  Status Open(const platform::File& file, const Pack& pack, PageCache page_cache, ErrorSink& errors);

  // Bytes that a step's weights take one behind the other; 0 where they are too many for Read.
  uint64_t step_bytes(uint64_t step) const { return step_bytes_[step]; }
  // Says that there is room for them elsewhere while the step runs. SetLimit makes use of it from then on.
  void SetRoom(uint64_t step, bool has_room) { has_room_[step] = has_room; }

  // Bytes a second, until reads are measured.
  void SetReadSpeed(double bytes_per_second) { io_.bytes_per_second = bytes_per_second; }

  // Plans for so many bytes of weights, at least least_bytes(). step_seconds: what each step takes to compute; as many
  // as the pack has steps, and must outlive this object. Not during a run.
  Status SetLimit(uint64_t bytes, Span<const double> step_seconds, ErrorSink& errors);

  // A run begins, at this step.
  Status Begin(uint64_t first_step, ErrorSink& errors);
  // Waits until all weights of a step are there; then segment() tells where.
  Status Acquire(uint64_t step, ErrorSink& errors);
  // Whether the limit is too small for the step's weights, but there is room elsewhere: Read takes the place of Acquire.
  bool elsewhere(uint64_t step) const { return elsewhere_[step]; }
  // Says that several threads compute: so mapping should keep no more than one of them.
  void SetMapsAhead(bool ahead) { maps_ahead_ = ahead; }
  // Whether Acquire left something to MapAhead, which the computing thread calls while others are in the step. Where it
  // does not, the next Acquire does it.
  bool owes() const { return owes_; }
  void MapAhead();
  // Reads a step's weights there, to step_bytes() of memory.
  Status Read(uint64_t step, std::byte* to, ErrorSink& errors);
  // The step has run: its weights may go.
  void Release(uint64_t step);
  // The run ended, at its end or before.
  void End(bool completed);
  // Gives back all memory at once; during a run when its current step ends, and takes little until it ends.
  void Trim();

  // Null while the segment is not in memory.
  const std::byte* segment(uint32_t i) const { return segments_[i]; }
  // Whether segments of the step that Acquire was called for may lie elsewhere than what it was bound to the last time;
  // where all stay, they are where they are from SetLimit on.
  bool moved() const { return moved_; }

  uint64_t least_bytes() const;                        // the smallest limit
  uint64_t streamed_bytes() const;                     // that every run reads
  uint64_t constant_bytes() const { return constant_bytes_; }
  // Since the limit was set; constants not among them.
  uint64_t peak_bytes() const { return peak_.load(std::memory_order_relaxed); }
  double wait_seconds() const { return wait_seconds_; }                          // of Acquire, since Open
  const ResidencyPlan& plan() const { return plan_; }
  // What a problem has to do with how weights are read here: its limit, window_extra and least_window.
  static void SetLimits(uint64_t limit, bool for_cached, ResidencyProblem* problem);

 private:
  static constexpr uint32_t kNoChunk = 0xFFFFFFFFU;
  static constexpr uint64_t kLeastChunk = uint64_t{64} << 10;  // bytes that are worth a request
  static constexpr uint64_t kDirect = platform::File::kDirectAlignment;
  static constexpr uint64_t kBlock = platform::kHugePageBytes;
  // What a use may take in the window beyond its segment's bytes, as memory comes in pages. Segments with gaps of so many
  // bytes between them are read together.
  static uint64_t Slop();
  static constexpr uint64_t RoundUp(uint64_t bytes, uint64_t to) { return (bytes + to - 1) / to * to; }

  // Neighbours in the file that are read together.
  struct Extent {
    uint64_t offset = 0;  // in the file
    uint64_t bytes = 0;
    uint32_t first_use = 0;
    uint32_t num_uses = 0;
    bool mapped = true;   // how it was read the last time, or would be
    platform::Mapping own;  // where it is mapped alone
  };
  struct Chunk {
    uint32_t first_extent = 0, num_extents = 0;  // of what is streamed
    uint32_t first_use = 0, num_uses = 0;        // of all
    uint32_t last_step = 0;
    bool held = false;                           // it has its room
    uint64_t slot = 0, slot_bytes = 0;           // in the ring
    uint64_t mapped_bytes = 0;                   // of extents that are mapped alone
    uint64_t bytes = 0;                          // about what it takes
  };
  struct Blocks {  // of 2 MiB, of the mapping
    uint64_t begin = ~uint64_t{0}, end = 0;
    void Add(Blocks other) {
      begin = other.begin < begin ? other.begin : begin;
      end = other.end > end ? other.end : end;
    }
  };

  // Of a step that can have room elsewhere.
  static constexpr uint64_t kMostInputs = 64;
  static constexpr uint64_t kMostElsewhere = uint64_t{1} << (sizeof(size_t) > 4 ? 46 : 30);  // bytes
  static constexpr char kDamaged[] =
      "the pack is damaged: segment %u does not match its checksum; compile it again or copy it again";
  static constexpr char kUnreadable[] = "%llu bytes of weights cannot be read: %s";

  Status ReadConstants(ErrorSink& errors);
  Status ListUses(ErrorSink& errors);
  Status SizeSteps(ErrorSink& errors);
  Status UseRooms(uint64_t limit, ErrorSink& errors);
  template <typename Visit>
  void ForEachSegment(uint64_t step, const Visit& visit) const;
  Status Plan(bool for_cached, ErrorSink& errors);
  Status PlanForCache(ErrorSink& errors);
  Status PlanWindow(ErrorSink& errors);
  ResidencyProblem Problem(uint64_t limit, Span<const double> step_seconds) const;
  Status BuildChunks(ErrorSink& errors);
  void HideMetadata(bool hide);
  bool AllThere() const;
  bool IsCached() const;
  bool AllChecked() const;
  // With mutex_ held. From TakeOver to HandBack others who would drop what is held leave that to HandBack, or to Release.
  void TakeOver();
  void HandBack();
  // Of the owner, with mutex_ held. Restart empties the window; the next chunk to be read is `first`.
  void StopReading();
  void Restart(uint32_t first);
  void DropAll();

  static void ThreadMain(void* self);
  void StopThread();
  void ReadAhead();
  bool IsWanted(uint64_t number) const;
  void WaitForRoom(const Chunk* chunk);
  void FinishLoad(uint64_t number, bool loaded, bool cached);
  void StartReading();
  void LoadHere(uint64_t number);
  bool LoadGroup(uint64_t end, bool leaves_room);
  uint64_t ReserveChunks(uint64_t number, uint64_t end, bool leaves_room);
  bool LeavesRoom(uint64_t number);
  void FreeReleased();
  bool ReserveRoom(Chunk& chunk);
  bool HasRoom(uint64_t mapped, uint64_t slot_bytes, uint64_t* offset);
  uint64_t UseBlocks(const Chunk& chunk, bool use);
  void Free(Chunk& chunk, Blocks* blocks);
  template <typename Visit>
  void ForBlocks(Blocks blocks, bool used, const Visit& visit) const;
  void UnmapUnused(Blocks blocks);
  bool PopulateUsed(Blocks blocks);
  bool Load(Chunk& chunk, bool populated);
  bool LoadExtent(Extent& extent, std::byte* slot);
  int ReadToSlot(const Extent& extent, std::byte* slot) const;
  int MapAlone(Extent& extent);
  bool LoadStaying(uint32_t segment);
  bool CheckSegment(uint32_t segment, const std::byte* data);
  bool Fail(uint64_t bytes, int error);
  void CountRead(uint64_t bytes, double seconds);
  void CountHeld();
  uint64_t PositionOf(uint64_t offset) const;  // in the mapping's pages
  uint64_t MappedEnd() const;
  Blocks BlocksOf(const Extent& extent) const;
  Blocks BlocksOf(const Chunk& chunk) const;  // from the first to the last

  const platform::File* file_ = nullptr;
  const Pack* pack_ = nullptr;
  platform::Mapping mapping_;          // of the whole file
  Array<std::byte> constants_;
  Array<const std::byte*> segments_;   // as the computation sees them
  Array<const std::byte*> use_data_;   // where the reading thread put them
  Array<const std::byte*> use_was_;    // where they were when their step ran the last time
  Array<std::byte*> staying_;          // memory of segments that stay, where they are not mapped
  Array<bool> loaded_staying_;
  Array<bool> checked_;
  Array<uint64_t> segment_bytes_;      // in memory
  Array<WeightUse> uses_;              // in the order of steps; constants are not among them
  Array<uint32_t> first_use_;          // of each step, and one more
  Array<uint32_t> users_;              // steps that read each segment
  Array<uint32_t> chunk_of_step_;
  Array<uint64_t> step_bytes_;
  Array<bool> has_room_;               // of steps
  Array<bool> elsewhere_;              // of steps: their weights are none of uses_
  Array<Extent> extents_;
  Array<Chunk> chunks_;
  Array<uint32_t> block_users_;        // loaded extents in each block of the mapping
  size_t num_chunks_ = 0;
  bool hides_metadata_ = false;        // in the mapping
  bool in_blocks_ = false;             // mapped extents are mapped, and counted, in whole blocks
  ResidencyPlan plan_;
  uint64_t limit_ = 0;                 // of SetLimit
  Span<const double> step_seconds_;
  bool keeps_all_ = true;
  bool for_cached_ = false;            // the plan is for weights that are in the page cache
  bool too_small_for_cached_ = false;  // the limit, for such a plan
  PageCache page_cache_ = PageCache::kAuto;
  bool caches_ = true;                 // what is read may stay in the page cache
  bool trimmed_ = false;
  bool moved_ = false;                 // of the last step
  IoCost io_;                          // as measured
  std::byte* staying_memory_ = nullptr;
  uint64_t staying_memory_bytes_ = 0;
  Ring ring_;
  uint64_t mapped_bytes_ = 0;          // of blocks with users
  uint64_t staying_bytes_ = 0;         // loaded
  uint64_t all_bytes_ = 0;             // the limit from which on all weights stay
  uint64_t constant_bytes_ = 0;
  double wait_seconds_ = 0;
  std::atomic<uint64_t> peak_{0};      // of what is held

  // Chunks are counted on from run to run: number t is chunk t % num_chunks_. run_ is the number of the run's first chunk.
  uint64_t run_ = 0;
  uint64_t freed_ = 0;
  std::atomic<uint64_t> loaded_{0};
  std::atomic<uint64_t> released_{0};
  std::atomic<uint64_t> wake_at_{~uint64_t{0}};  // the reading thread waits until this many are released
  std::atomic<bool> trim_{false};
  bool warm_ = false;         // in this run the computing thread maps chunks itself
  bool maps_ahead_ = false;
  bool owes_ = false;         // what MapAhead does
  size_t cached_chunks_ = 0;  // about as many of the last ones were in the page cache; each that was not takes some off
  // Under mutex_.
  bool computing_waits_ = false;
  bool loading_ = false;
  bool owned_ = false;     // one thread plans, runs, or drops what is held
  bool reading_ = false;   // there is something to read ahead
  bool stop_ = false;
  bool started_ = false;
  Status failure_;         // of the last chunk, which is then not loaded
  Status load_status_;     // the reading thread's own
  ErrorSink load_text_;
  platform::Thread thread_;
  platform::Mutex mutex_;
  platform::Condition room_;
  platform::Condition arrived_;
};

}  // namespace wherry

#endif  // WHERRY_RUNTIME_STREAMER_H_
