#include "platform/thread.h"

#include <sched.h>
#include <unistd.h>

namespace wherry::platform {

void* Thread::Entry(void* self) {
  Thread& thread = *static_cast<Thread*>(self);
  thread.main_(thread.argument_);
  return nullptr;
}

bool Thread::Start(void (*main)(void*), void* argument) {
  main_ = main;
  argument_ = argument;
  return pthread_create(&handle_, nullptr, &Entry, this) == 0;
}

void Thread::Join() { pthread_join(handle_, nullptr); }

void Yield() { sched_yield(); }

int ProcessorCount() {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    const int count = CPU_COUNT(&set);
    if (count > 0) return count;
  }
#endif
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? static_cast<int>(online) : 1;
}

}  // namespace wherry::platform
