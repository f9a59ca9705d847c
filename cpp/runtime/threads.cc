#include "runtime/threads.h"

namespace wherry {

Status ThreadPool::Start(int threads, ErrorSink& errors) {
  Stop();
  if (threads > kMaxThreads) threads = kMaxThreads;
  stop_ = false;
  generation_ = 0;  // new workers have seen no loop
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
    ++generation_;
    wake_.NotifyAll();
  }
  Work(0);
  platform::Lock lock(mutex_);
  open_ = false;  // workers that have not woken up by now are not waited for
  while (busy_ > 0) done_.Wait(mutex_);
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
    {
      platform::Lock lock(pool.mutex_);
      while ((pool.generation_ == seen || !pool.open_) && !pool.stop_) pool.wake_.Wait(pool.mutex_);
      if (pool.stop_) return;
      seen = pool.generation_;
      ++pool.busy_;
    }
    pool.Work(self.index);
    platform::Lock lock(pool.mutex_);
    if (--pool.busy_ == 0) pool.done_.NotifyAll();
  }
}

}  // namespace wherry
