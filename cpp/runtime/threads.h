// A small pool of threads that share one loop at a time. The caller's thread takes part.
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
  void Run(int64_t count, Body body, void* user);
  void Work(int worker);
  static void WorkerMain(void* argument);

  struct Worker {
    ThreadPool* pool = nullptr;
    int index = 0;
    platform::Thread thread;
  };

  Worker workers_[kMaxThreads - 1];
  int num_workers_ = 0;
  platform::Mutex mutex_;
  platform::Condition wake_;
  platform::Condition done_;
  // All guarded by mutex_; the atomic ones may be looked at without it.
  std::atomic<uint64_t> generation_{0};  // each loop has its own
  std::atomic<int> busy_{0};             // workers in the loop
  bool open_ = false;                    // workers may join the loop
  bool stop_ = false;
  int sleeping_ = 0;                     // workers in wake_.Wait
  Body body_ = nullptr;
  void* user_ = nullptr;
  int64_t count_ = 0;
  std::atomic<int64_t> next_{0};
};

// Where the bodies of one loop wait for each other, as often as they like. Only for loops of at most ThreadPool::size()
// indices: each body that waits keeps a thread, so all of them must have one.
class Barrier {
 public:
  explicit Barrier(int64_t parties) : parties_(parties) {}
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;

  // Returns when all parties have called it. What one wrote before, all see after.
  void Wait();

 private:
  // Each in a cache line of its own: those who wait look at round_ while others arrive.
  alignas(64) std::atomic<int64_t> arrived_{0};
  alignas(64) std::atomic<uint64_t> round_{0};
  alignas(64) std::atomic<int> sleeping_{0};  // in next_.Wait, or about to be
  const int64_t parties_;
  platform::Mutex mutex_;
  platform::Condition next_;
};

}  // namespace wherry

#endif  // WHERRY_RUNTIME_THREADS_H_
