// No metadata: what the other readers are weighed against.
#include "platform/file.h"
#include "runtime/hash.h"
#include "runtime/pack_format.h"
#include "runtime/status.h"

namespace wherry::bench {

class Reader {
 public:
  Status Open(const platform::File& file, ErrorSink& errors) {
    if (file.size() < sizeof(header_) || file.Read(0, &header_, sizeof(header_)) != 0) {
      return errors.Fail(Code::kIo, "the pack cannot be read");
    }
    return Status::Ok();
  }
  uint64_t Walk() const { return Hash64(&header_, sizeof(header_)); }

 private:
  format::Header header_ = {};
};

}  // namespace wherry::bench
