#include "runtime/status.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace wherry {

namespace {

// Names come from the pack; a message is one line.
void KeepToOneLine(char* at) {
  for (; *at != '\0'; ++at) {
    if (static_cast<unsigned char>(*at) < ' ') *at = ' ';
  }
}

}  // namespace

Status ErrorSink::Fail(Code code, const char* format, ...) {
  va_list args;
  va_start(args, format);
  std::vsnprintf(message_, sizeof(message_), format, args);
  va_end(args);
  KeepToOneLine(message_);
  return Status(code);
}

void ErrorSink::Prepend(const char* where) {
  const size_t length = std::strlen(where), kept = std::strlen(message_) + 1;
  if (length + 2 + kept > sizeof(message_)) return;
  std::memmove(message_ + length + 2, message_, kept);
  std::memcpy(message_, where, length);
  std::memcpy(message_ + length, ": ", 2);
  KeepToOneLine(message_);
}

}  // namespace wherry
