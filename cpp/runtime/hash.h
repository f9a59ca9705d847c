// XXH64, the checksum of metadata and segments (specification: Yann Collet, "xxHash fast digest algorithm", 0.1.1).
#ifndef WHERRY_RUNTIME_HASH_H_
#define WHERRY_RUNTIME_HASH_H_

#include <cstddef>
#include <cstdint>

namespace wherry {

// The digest of `size` bytes with seed 0.
uint64_t Hash64(const void* data, size_t size);

// For data in pieces: the digest of the digest so far, and of one more piece's size and digest. Not that of the whole.
uint64_t Chain64(uint64_t so_far, const void* data, size_t size);

}  // namespace wherry

#endif  // WHERRY_RUNTIME_HASH_H_
