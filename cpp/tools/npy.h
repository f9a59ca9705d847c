/* NumPy's .npy files, for the runner: reads format 1 to 3, writes format 1. Row-major, little-endian only. */
#ifndef WHERRY_TOOLS_NPY_H_
#define WHERRY_TOOLS_NPY_H_

#include <stddef.h>
#include <stdint.h>

#define NPY_MAX_RANK 16

typedef struct npy_array {
  char type[8]; /* as the file spells it: "<f4", "|u1" ... */
  int32_t rank;
  int64_t dims[NPY_MAX_RANK];
  size_t bytes;
  void* data; /* aligned to 64; freed by npy_free */
} npy_array;

/* Each returns 0, or -1 with one line in `error`. */
int npy_read(const char* path, npy_array* array, char* error, size_t error_size);
int npy_write(const char* path, const char* type, int32_t rank, const int64_t* dims, const void* data, size_t bytes,
              char* error, size_t error_size);
void npy_free(npy_array* array);

#endif /* WHERRY_TOOLS_NPY_H_ */
