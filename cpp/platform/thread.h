// Threads, mutexes and conditions over pthreads, without the C++ runtime library.
#ifndef WHERRY_PLATFORM_THREAD_H_
#define WHERRY_PLATFORM_THREAD_H_

#include <pthread.h>

namespace wherry::platform {

class Thread {
 public:
  // Runs main(argument) on a new thread. Returns false when the system has none to give.
  bool Start(void (*main)(void*), void* argument);
  void Join();

 private:
  static void* Entry(void* self);
  void (*main_)(void*) = nullptr;
  void* argument_ = nullptr;
  pthread_t handle_ = {};
};

class Mutex {
 public:
  Mutex() { pthread_mutex_init(&handle_, nullptr); }
  ~Mutex() { pthread_mutex_destroy(&handle_); }
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  void Acquire() { pthread_mutex_lock(&handle_); }
  void Release() { pthread_mutex_unlock(&handle_); }

 private:
  friend class Condition;
  pthread_mutex_t handle_;
};

class Lock {
 public:
  explicit Lock(Mutex& mutex) : mutex_(mutex) { mutex_.Acquire(); }
  ~Lock() { mutex_.Release(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  Mutex& mutex_;
};

class Condition {
 public:
  Condition() { pthread_cond_init(&handle_, nullptr); }
  ~Condition() { pthread_cond_destroy(&handle_); }
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;
  void Wait(Mutex& mutex) { pthread_cond_wait(&handle_, &mutex.handle_); }
  void NotifyAll() { pthread_cond_broadcast(&handle_); }

 private:
  pthread_cond_t handle_;
};

// Tells the processor that this is a waiting loop.
inline void Relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

// Lets another thread run on this processor, if one waits for it.
void Yield();

// Processors this process may run on; at least 1.
int ProcessorCount();

}  // namespace wherry::platform

#endif  // WHERRY_PLATFORM_THREAD_H_
