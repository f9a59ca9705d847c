#include "runtime/status.h"

#include <cstdarg>
#include <cstdio>

namespace wherry {

Status ErrorSink::Fail(Code code, const char* format, ...) {
  va_list args;
  va_start(args, format);
  std::vsnprintf(message_, sizeof(message_), format, args);
  va_end(args);
  return Status(code);
}

}  // namespace wherry
