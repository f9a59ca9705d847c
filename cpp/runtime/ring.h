// A ring of buffers: memory that is taken in pieces at its head and given back at its tail, in the same order.
#ifndef WHERRY_RUNTIME_RING_H_
#define WHERRY_RUNTIME_RING_H_

#include <cstddef>
#include <cstdint>

namespace wherry {

class Ring {
 public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() { static_cast<void>(Resize(0)); }

  // Empties it and gives it another size. False when there is no address space. Pages count once they are touched.
  [[nodiscard]] bool Resize(uint64_t bytes);

  // Finds room for a piece that lies in one run; *end is how far the ring would be touched. False when there is none now.
  bool Find(uint64_t bytes, uint64_t* offset, uint64_t* end) const;
  // Takes what Find found.
  void Take(uint64_t offset, uint64_t bytes);
  // Gives back the oldest piece.
  void Give(uint64_t offset, uint64_t bytes);
  // Gives the touched pages back to the system. Nothing may be taken.
  void Discard();

  std::byte* data() const { return data_; }
  bool empty() const { return pieces_ == 0; }
  uint64_t touched() const { return touched_; }  // bytes from the start that have memory

 private:
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
  uint64_t granule_ = 1;  // what the system gives at a time
  uint64_t head_ = 0;     // where the next piece goes
  uint64_t tail_ = 0;     // where the oldest begins
  uint64_t pieces_ = 0;
  uint64_t touched_ = 0;
};

}  // namespace wherry

#endif  // WHERRY_RUNTIME_RING_H_
