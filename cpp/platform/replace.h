// A file that takes the place of an older one whole, or not at all: it is written under another name, then renamed.
//
// What a process wrote survives the process. Nothing is forced out to the disk, which would take milliseconds: after the
// machine has died the file may be anything, and who reads it must have a checksum.
#ifndef WHERRY_PLATFORM_REPLACE_H_
#define WHERRY_PLATFORM_REPLACE_H_

#include <cstddef>

namespace wherry::platform {

class Replacement {
 public:
  // `part` is the name to write under; it must live as long as this object.
  explicit Replacement(const char* part) : part_(part) {}
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;
  ~Replacement();  // removes what was not committed

  // Each returns 0, or errno. Open takes the place of what an earlier process left under that name; only the user may
  // read the file.
  int Open();
  int Write(const void* data, size_t bytes);
  int Commit(const char* path);

 private:
  const char* part_;
  int descriptor_ = -1;
  bool left_ = false;  // there is something to remove
};

}  // namespace wherry::platform

#endif  // WHERRY_PLATFORM_REPLACE_H_
