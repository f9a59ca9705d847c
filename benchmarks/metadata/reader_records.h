// The runtime's own reader, as it is.
#include "record_view.h"
#include "runtime/pack.h"

namespace wherry::bench {

class Reader {
 public:
  Status Open(const platform::File& file, ErrorSink& errors) { return pack_.Open(file, errors); }
  uint64_t Walk() const { return bench::Walk(RecordView<Pack, true>(pack_)); }

 private:
  Pack pack_;
};

}  // namespace wherry::bench
