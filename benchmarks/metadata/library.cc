// A shared library with one reader (READER, a header) and nothing else of the runtime: weighed, and timed.
#include READER

#include <cstring>

#include "wherry/wherry.h"

namespace {

// Opens the pack `repeats` times. seconds: the shortest time of Open() and of Walk(). sum: what Walk() read.
int32_t Measure(const char* path, int32_t repeats, double* seconds, uint64_t* sum, char* message, size_t size) {
  wherry::platform::File file;
  wherry::ErrorSink errors;
  if (file.OpenPath(path) != 0) return static_cast<int32_t>(wherry::Code::kIo);
  for (int32_t i = 0; i < repeats; ++i) {
    wherry::bench::Reader reader;
    const double start = wherry::platform::Now();
    const wherry::Status status = reader.Open(file, errors);
    const double opened = wherry::platform::Now();
    if (!status.ok()) {
      std::strncpy(message, errors.message(), size - 1);
      return static_cast<int32_t>(status.code());
    }
    *sum = reader.Walk();
    const double walked = wherry::platform::Now();
    if (i == 0 || opened - start < seconds[0]) seconds[0] = opened - start;
    if (i == 0 || walked - opened < seconds[1]) seconds[1] = walked - opened;
  }
  return 0;
}

}  // namespace

extern "C" WHERRY_API int32_t metadata_measure(const char* path, int32_t repeats, double* seconds, uint64_t* sum,
                                               char* message, size_t size) {
  return Measure(path, repeats, seconds, sum, message, size);
}
