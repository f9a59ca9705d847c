#include "runtime/threads.h"

#include "platform/file.h"

namespace wherry {
namespace {

// The steps of a model follow each other closely, and waking a sleeping thread takes longer than many of them. So a
// thread that waits looks out for this long before it sleeps.
constexpr double kPatience = 60e-6;

template <typename Done>
void SpinUntil(const Done& done) {
  const double end = platform::Now() + kPatience;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return;
      platform::Relax();
    }
  } while (platform::Now() < end);
}

}  // namespace

Status ThreadPool::Start(int threads, ErrorSink& errors) {
  Stop();
  if (threads > kMaxThreads) threads = kMaxThreads;
  stop_ = false;
  generation_.store(0, std::memory_order_relaxed);  // new workers have seen no loop
  for (int i = 0; i + 1 < threads; ++i) {
    Worker& worker = workers_[i];
    worker.pool = this;
    worker.index = i + 1;
    if (!worker.thread.Start(&WorkerMain, &worker)) {
      Stop();
      return errors.Fail(Code::kThread, "cannot start thread %d of %d; ask for fewer threads", i + 2, threads);
    }
    ++num_workers_;
  }
  return Status::Ok();
}

void ThreadPool::Stop() {
  if (num_workers_ == 0) return;
  {
    platform::Lock lock(mutex_);
    stop_ = true;
    generation_.fetch_add(1, std::memory_order_release);
    wake_.NotifyAll();
  }
  for (int i = 0; i < num_workers_; ++i) workers_[i].thread.Join();
  num_workers_ = 0;
}

void ThreadPool::Run(int64_t count, Body body, void* user) {
  if (count <= 0) return;
  if (num_workers_ == 0 || count == 1) {
    for (int64_t i = 0; i < count; ++i) body(user, i, 0);
    return;
  }
  {
    platform::Lock lock(mutex_);
    body_ = body;
    user_ = user;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    open_ = true;
    generation_.fetch_add(1, std::memory_order_release);
    if (sleeping_ > 0) wake_.NotifyAll();
  }
  Work(0);
  {
    platform::Lock lock(mutex_);
    open_ = false;  // workers that have not woken up by now are not waited for
    if (busy_.load(std::memory_order_relaxed) == 0) return;
  }
  SpinUntil([this] { return busy_.load(std::memory_order_acquire) == 0; });
  platform::Lock lock(mutex_);
  while (busy_.load(std::memory_order_relaxed) > 0) done_.Wait(mutex_);
}

void ThreadPool::Work(int worker) {
  for (;;) {
    const int64_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= count_) return;
    body_(user_, index, worker);
  }
}

void ThreadPool::WorkerMain(void* argument) {
  Worker& self = *static_cast<Worker*>(argument);
  ThreadPool& pool = *self.pool;
  uint64_t seen = 0;
  for (;;) {
    SpinUntil([&] { return pool.generation_.load(std::memory_order_acquire) != seen; });
    {
      platform::Lock lock(pool.mutex_);
      for (;;) {
        if (pool.stop_) return;
        const uint64_t generation = pool.generation_.load(std::memory_order_relaxed);
        const bool fresh = generation != seen;
        seen = generation;
        if (fresh && pool.open_) break;
        if (fresh) continue;  // that loop is over
        ++pool.sleeping_;
        pool.wake_.Wait(pool.mutex_);
        --pool.sleeping_;
      }
      pool.busy_.fetch_add(1, std::memory_order_relaxed);
    }
    pool.Work(self.index);
    platform::Lock lock(pool.mutex_);
    if (pool.busy_.fetch_sub(1, std::memory_order_release) == 1) pool.done_.NotifyAll();
  }
}

void Barrier::Wait() {
  if (parties_ < 2) return;
  const uint64_t round = round_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == parties_) {
    arrived_.store(0, std::memory_order_relaxed);  // before anybody can come again
    // Either this sees who went to sleep, or they see the new round: both orders are sequentially consistent.
    round_.store(round + 1, std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_seq_cst) == 0) return;
    platform::Lock lock(mutex_);
    next_.NotifyAll();
    return;
  }
  const auto passed = [&] { return round_.load(std::memory_order_seq_cst) != round; };
  SpinUntil(passed);
  if (passed()) return;
  platform::Lock lock(mutex_);
  sleeping_.fetch_add(1, std::memory_order_seq_cst);
  while (!passed()) next_.Wait(mutex_);
  sleeping_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace wherry
