#include "platform/replace.h"

#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <unistd.h>

namespace wherry::platform {

Replacement::~Replacement() {
  if (descriptor_ >= 0) close(descriptor_);
  if (left_) unlink(part_);
}

int Replacement::Open() {
  if (unlink(part_) != 0 && errno != ENOENT) return errno;
  descriptor_ = open(part_, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);  // follows no link that somebody else put there
  if (descriptor_ < 0) return errno;
  left_ = true;
  return 0;
}

int Replacement::Write(const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = write(descriptor_, at, bytes);
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    at += written;
    bytes -= static_cast<size_t>(written);
  }
  return 0;
}

int Replacement::Commit(const char* path) {
  const int closed = close(descriptor_);  // a full disk may show only now
  descriptor_ = -1;
  if (closed != 0) return errno;
  if (std::rename(part_, path) != 0) return errno;
  left_ = false;
  return 0;
}

}  // namespace wherry::platform
