#include "runtime/threads.h"

#include <utility>

#include "platform/file.h"

namespace wherry {
namespace {

// The steps of a model follow each other closely, and waking a sleeping thread takes longer than many of them. So a
// thread that waits looks out for this long before it sleeps.
constexpr double kPatience = 60e-6;

// Who waits for another body soon lets others run, and goes on looking: if it slept, and took longer to wake than the
// others are patient, they would all take turns at sleeping, for a wake-up at each point.
constexpr double kProgressSpin = 10e-6;
constexpr double kProgressPatience = 2e-3;

template <typename Done>
void YieldUntil(const Done& done) {
  const double end = platform::Now() + kProgressPatience;
  while (!done() && platform::Now() < end) platform::Yield();
}

template <typename Done>
void SpinUntil(const Done& done, double patience = kPatience) {
  const double end = platform::Now() + patience;
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
  stop_.store(false, std::memory_order_relaxed);
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
  stop_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_seq_cst);
  {
    platform::Lock lock(mutex_);
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
  body_ = body;
  user_ = user;
  const int64_t parts = size();
  for (first_ = 0; first_ < count; first_ += kMostAtOnce) {
    const int64_t some = count - first_ < kMostAtOnce ? count - first_ : kMostAtOnce;
    for (int64_t part = 0; part < parts; ++part) {
      shares_[part].range.store(Share::Pack(some * part / parts, some * (part + 1) / parts), std::memory_order_relaxed);
    }
    RunShares();
  }
}

void ThreadPool::RunShares() {
  state_.store(kOpen, std::memory_order_release);
  // Either this sees who went to sleep, or they see the new generation: both orders are sequentially consistent.
  generation_.fetch_add(1, std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst) > 0) {
    platform::Lock lock(mutex_);
    wake_.NotifyAll();
  }
  if (auto* const job = std::exchange(job_, nullptr); job != nullptr) job(job_user_);
  Work(0);
  // Workers that have not woken up by now are not waited for.
  if (state_.fetch_and(~kOpen, std::memory_order_acq_rel) == kOpen) return;
  const auto done = [this] { return state_.load(std::memory_order_seq_cst) == 0; };
  SpinUntil(done);
  if (done()) return;
  platform::Lock lock(mutex_);
  waiting_.store(true, std::memory_order_seq_cst);
  while (!done()) done_.Wait(mutex_);
  waiting_.store(false, std::memory_order_relaxed);
}

void ThreadPool::Work(int worker) {
  int64_t index = 0;
  while (shares_[worker].TakeFirst(&index)) body_(user_, first_ + index, worker);
  for (int i = 1; i < size(); ++i) {
    Share& other = shares_[(worker + i) % size()];
    while (other.TakeLast(&index)) body_(user_, first_ + index, worker);
  }
}

bool ThreadPool::Join() {
  uint32_t state = state_.load(std::memory_order_relaxed);
  while ((state & kOpen) != 0) {
    if (state_.compare_exchange_weak(state, state + kBusy, std::memory_order_acquire, std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void ThreadPool::Leave() {
  if (state_.fetch_sub(kBusy, std::memory_order_seq_cst) != kBusy) return;
  if (!waiting_.load(std::memory_order_seq_cst)) return;
  platform::Lock lock(mutex_);
  done_.NotifyAll();
}

void ThreadPool::WorkerMain(void* argument) {
  Worker& self = *static_cast<Worker*>(argument);
  ThreadPool& pool = *self.pool;
  uint64_t seen = 0;
  for (;;) {
    const auto changed = [&] { return pool.generation_.load(std::memory_order_seq_cst) != seen; };
    SpinUntil(changed);
    if (!changed()) {
      platform::Lock lock(pool.mutex_);
      pool.sleeping_.fetch_add(1, std::memory_order_seq_cst);
      while (!changed()) pool.wake_.Wait(pool.mutex_);
      pool.sleeping_.fetch_sub(1, std::memory_order_relaxed);
    }
    seen = pool.generation_.load(std::memory_order_seq_cst);
    if (pool.stop_.load(std::memory_order_relaxed)) return;
    if (!pool.Join()) continue;  // that loop is over
    pool.Work(self.index);
    pool.Leave();
  }
}

void Progress::Reach(int64_t body, int64_t point) {
  // Either this sees who went to sleep, or they see the new point: both orders are sequentially consistent.
  places_[body].point.store(point, std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst) == 0) return;
  platform::Lock lock(mutex_);
  next_.NotifyAll();
}

void Progress::Wait(int64_t body, int64_t point) {
  const auto passed = [&] { return Has(body, point); };
  if (passed()) return;
  SpinUntil(passed, kProgressSpin);
  YieldUntil(passed);
  if (passed()) return;
  platform::Lock lock(mutex_);
  sleeping_.fetch_add(1, std::memory_order_seq_cst);
  while (!passed()) next_.Wait(mutex_);
  sleeping_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace wherry
