// Status of every fallible call. Nothing in the runtime throws; a Status is never ignored.
//
// The codes are those of the C API (include/wherry/wherry.h), in numbered bands: 1xx the caller's mistake,
// 2xx the pack, 3xx resources, 4xx the run. The message that goes with a code is kept by an ErrorSink.
#ifndef WHERRY_RUNTIME_STATUS_H_
#define WHERRY_RUNTIME_STATUS_H_

#include <cstddef>
#include <cstdint>

namespace wherry {

enum class Code : int32_t {
  kOk = 0,
  kInvalidArgument = 100,
  kUnknownName = 101,
  kShapeMismatch = 102,
  kTypeMismatch = 103,
  kWrongState = 104,
  kNotAPack = 200,
  kTruncated = 201,
  kCorrupt = 202,
  kNewerVersion = 203,
  kMissingKernel = 204,
  kOutOfMemory = 300,
  kBudgetTooSmall = 301,
  kIo = 302,
  kThread = 303,
  kCancelled = 400,
  kKernelFailed = 401,
};

class [[nodiscard]] Status {
 public:
  constexpr Status() = default;
  constexpr explicit Status(Code code) : code_(code) {}
  static constexpr Status Ok() { return Status(); }
  constexpr bool ok() const { return code_ == Code::kOk; }
  constexpr Code code() const { return code_; }

 private:
  Code code_ = Code::kOk;
};

// Holds the one-line message of the last error. Owned by a handle; never shared between threads.
class ErrorSink {
 public:
  // Formats like printf, cuts at the buffer's end and returns Status(code).
  [[gnu::format(printf, 3, 4)]] Status Fail(Code code, const char* format, ...);
  // Puts "where: " in front of the message. Where both do not fit, the message stays as it is.
  void Prepend(const char* where);
  const char* message() const { return message_; }
  void Clear() { message_[0] = '\0'; }

 private:
  char message_[512] = {};
};

#define WHERRY_RETURN_IF_ERROR(expression)           \
  do {                                               \
    const ::wherry::Status status_ = (expression);   \
    if (!status_.ok()) return status_;               \
  } while (false)

}  // namespace wherry

#endif  // WHERRY_RUNTIME_STATUS_H_
