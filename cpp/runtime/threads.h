// A small pool of threads that share one loop at a time. The caller's thread takes part.
//
// Each thread has a share of the indices, neighbours, and takes the last ones of others when its own are done. So
// loops that follow each other over the same rows find them in the cache of the core that wrote them. Nobody takes a
// lock unless somebody sleeps.
#ifndef WHERRY_RUNTIME_THREADS_H_
#define WHERRY_RUNTIME_THREADS_H_

#include <atomic>
#include <cstdint>

#include "platform/thread.h"
#include "runtime/span.h"
#include "runtime/status.h"

namespace wherry {

class ThreadPool {
 public:
  static constexpr int kMaxThreads = 64;

  ThreadPool() = default;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() { Stop(); }

  // Starts threads - 1 workers. threads is clamped to 1..kMaxThreads.
  Status Start(int threads, ErrorSink& errors);
  void Stop();
  int size() const { return num_workers_ + 1; }

  // Calls body(index, worker) for every index in [0, count), in any order, on any thread; worker is in [0, size())
  // and no two calls that run at once have the same. Returns when all are done. `body` is any callable.
  // Which thread does what never shows in results as long as indices write apart from each other.
  template <typename Body>
  void ForEach(int64_t count, const Body& body) {
    Run(count, [](void* user, int64_t index, int worker) { (*static_cast<const Body*>(user))(index, worker); },
        const_cast<Body*>(&body));
  }

  // Has the caller's thread do a job in its next loop that others take part in, once they may: they go on meanwhile, and
  // take over what it leaves. Replaces a job that waits.
  void Defer(void (*job)(void* user), void* user) {
    job_ = job;
    job_user_ = user;
  }

  // Splits [0, count) into one run per thread of at least `grain` indices: body(begin, end, worker).
  template <typename Body>
  void ForRange(int64_t count, int64_t grain, const Body& body) {
    if (count <= 0) return;
    if (grain < 1) grain = 1;
    int64_t parts = (count + grain - 1) / grain;
    if (parts > size()) parts = size();
    ForEach(parts, [&](int64_t part, int worker) {
      body(count * part / parts, count * (part + 1) / parts, worker);
    });
  }

 private:
  using Body = void (*)(void* user, int64_t index, int worker);

  // Indices that are left of a thread's share. Its owner takes the first, others the last.
  struct alignas(64) Share {
    std::atomic<uint64_t> range{0};  // the first in the low half, the end in the high half

    static uint64_t Pack(int64_t begin, int64_t end) {
      return static_cast<uint64_t>(begin) | static_cast<uint64_t>(end) << 32U;
    }
    bool TakeFirst(int64_t* index) {
      uint64_t now = range.load(std::memory_order_relaxed);
      while (Left(now)) {
        if (!range.compare_exchange_weak(now, now + 1, std::memory_order_relaxed)) continue;
        *index = static_cast<int64_t>(now & kHalf);
        return true;
      }
      return false;
    }
    bool TakeLast(int64_t* index) {
      uint64_t now = range.load(std::memory_order_relaxed);
      while (Left(now)) {
        if (!range.compare_exchange_weak(now, now - (kHalf + 1), std::memory_order_relaxed)) continue;
        *index = static_cast<int64_t>((now >> 32U) - 1);
        return true;
      }
      return false;
    }

   private:
    static bool Left(uint64_t now) { return (now & kHalf) < now >> 32U; }
    static constexpr uint64_t kHalf = 0xFFFFFFFFU;
  };
  static constexpr int64_t kMostAtOnce = int64_t{1} << 31;  // indices that fit in shares

  void Run(int64_t count, Body body, void* user);
  void RunShares();
  void Work(int worker);
  bool Join();
  void Leave();
  static void WorkerMain(void* argument);

  struct Worker {
    ThreadPool* pool = nullptr;
    int index = 0;
    platform::Thread thread;
  };

  void (*job_)(void* user) = nullptr;  // of Defer
  void* job_user_ = nullptr;
  Worker workers_[kMaxThreads - 1];
  int num_workers_ = 0;
  // The loop: written while no worker is in it, read by those who joined.
  Body body_ = nullptr;
  void* user_ = nullptr;
  int64_t first_ = 0;  // what shares count from
  Share shares_[kMaxThreads];
  // kOpen: workers may join the loop; kBusy for each that did.
  static constexpr uint32_t kOpen = 1;
  static constexpr uint32_t kBusy = 2;
  alignas(64) std::atomic<uint32_t> state_{0};
  alignas(64) std::atomic<uint64_t> generation_{0};  // each loop has its own
  std::atomic<bool> stop_{false};
  std::atomic<int> sleeping_{0};       // workers in wake_.Wait, or about to be
  std::atomic<bool> waiting_{false};  // the caller is in done_.Wait, or about to be
  platform::Mutex mutex_;
  platform::Condition wake_;
  platform::Condition done_;
};

// How far each body of a loop has come, for those that need what others made. Only for loops of at most ThreadPool::size()
// indices: each body that waits keeps a thread, so all of them must have one.
class Progress {
 public:
  Progress() = default;
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // body is in [0, ThreadPool::kMaxThreads). Its points only grow, and begin at 0.
  void Reach(int64_t body, int64_t point);
  // When this is true, the caller sees all that the body wrote before it reached the point.
  bool Has(int64_t body, int64_t point) const {
    return places_[body].point.load(std::memory_order_seq_cst) >= point;
  }
  // Returns when it has.
  void Wait(int64_t body, int64_t point);

 private:
  // Two cache lines each, as they are fetched in pairs: others look at a place while its body goes on.
  struct alignas(128) Place {
    std::atomic<int64_t> point{0};
  };
  Place places_[ThreadPool::kMaxThreads];
  alignas(128) std::atomic<int> sleeping_{0};  // in next_.Wait, or about to be
  platform::Mutex mutex_;
  platform::Condition next_;
};

}  // namespace wherry

#endif  // WHERRY_RUNTIME_THREADS_H_
