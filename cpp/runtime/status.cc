#include "runtime/status.h"

#include <cstdarg>
#include <cstdio>

namespace wherry {

Status ErrorSink::Fail(Code code, const char* format, ...) {
  va_list args;
  va_start(args, format);
  std::vsnprintf(message_, sizeof(message_), format, args);
  va_end(args);
  for (char* at = message_; *at != '\0'; ++at) {
    if (static_cast<unsigned char>(*at) < ' ') *at = ' ';  // names come from the pack; a message is one line
  }
  return Status(code);
}

}  // namespace wherry
