#define _POSIX_C_SOURCE 200809L
#include "npy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char kMagic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
enum { kMaxHeader = 65536, kAlignment = 64 };

__attribute__((format(printf, 3, 4))) static int fail(char* error, size_t size, const char* format, ...) {
  va_list args;
  va_start(args, format);
  (void)vsnprintf(error, size, format, args);
  va_end(args);
  return -1;
}

/* The text behind 'key': in the header's dictionary, or null. */
static const char* find_value(const char* header, const char* key) {
  char quoted[32];
  (void)snprintf(quoted, sizeof(quoted), "'%s'", key);
  const char* at = strstr(header, quoted);
  if (at == NULL) return NULL;
  at = strchr(at + strlen(quoted), ':');
  if (at == NULL) return NULL;
  ++at;
  while (*at == ' ') ++at;
  return at;
}

static int parse_shape(const char* at, npy_array* array) {
  if (at == NULL || *at != '(') return -1;
  ++at;
  array->rank = 0;
  while (*at != ')') {
    char* end = NULL;
    errno = 0;
    const long long dim = strtoll(at, &end, 10);
    if (end == at || errno != 0 || dim < 0 || array->rank == NPY_MAX_RANK) return -1;
    array->dims[array->rank++] = dim;
    at = end;
    while (*at == ' ' || *at == ',') ++at;
  }
  return 0;
}

static int parse_header(const char* header, npy_array* array) {
  const char* type = find_value(header, "descr");
  if (type == NULL || *type != '\'') return -1;
  const char* end = strchr(type + 1, '\'');
  if (end == NULL || (size_t)(end - type) > sizeof(array->type)) return -1;
  const size_t length = (size_t)(end - type - 1);
  memcpy(array->type, type + 1, length);
  array->type[length] = '\0';
  if (parse_shape(find_value(header, "shape"), array) != 0) return -1;
  const char* order = find_value(header, "fortran_order");
  if (order == NULL || (strncmp(order, "False", 5) != 0 && array->rank > 1)) return -1;
  const long element = length >= 3 ? strtol(array->type + 2, NULL, 10) : 0;
  if (element < 1 || element > 16 || array->type[0] == '>') return -1;
  uint64_t bytes = (uint64_t)element;
  for (int32_t i = 0; i < array->rank; ++i) {
    const uint64_t dim = (uint64_t)array->dims[i];
    if (dim != 0 && bytes > (UINT64_C(1) << 48) / dim) return -1;
    bytes *= dim;
  }
  array->bytes = (size_t)bytes;
  return 0;
}

/* Reads everything in front of the elements. */
static int read_header(FILE* file, npy_array* array) {
  unsigned char start[12];
  if (fread(start, 1, 10, file) != 10 || memcmp(start, kMagic, sizeof(kMagic)) != 0) return -1;
  size_t size = (size_t)start[8] | (size_t)start[9] << 8;
  if (start[6] > 1) {
    if (start[6] > 3 || fread(start + 10, 1, 2, file) != 2) return -1;
    size |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
  }
  if (size > kMaxHeader) return -1;
  char* header = malloc(size + 1);
  if (header == NULL) return -1;
  int result = -1;
  if (fread(header, 1, size, file) == size) {
    header[size] = '\0';
    result = parse_header(header, array);
  }
  free(header);
  return result;
}

int npy_read(const char* path, npy_array* array, char* error, size_t error_size) {
  memset(array, 0, sizeof(*array));
  FILE* file = fopen(path, "rb");
  if (file == NULL) return fail(error, error_size, "%s: %s", path, strerror(errno));
  int result = -1;
  if (read_header(file, array) != 0) {
    (void)fail(error, error_size, "%s: this is not a .npy file in row-major, little-endian order", path);
  } else if (posix_memalign(&array->data, kAlignment, array->bytes == 0 ? 1 : array->bytes) != 0) {
    array->data = NULL;
    (void)fail(error, error_size, "%s: no memory for %zu bytes", path, array->bytes);
  } else if (fread(array->data, 1, array->bytes, file) != array->bytes) {
    (void)fail(error, error_size, "%s: the file is cut short, %zu bytes of elements are expected", path, array->bytes);
  } else {
    result = 0;
  }
  (void)fclose(file);
  if (result != 0) npy_free(array);
  return result;
}

int npy_write(const char* path, const char* type, int32_t rank, const int64_t* dims, const void* data, size_t bytes,
              char* error, size_t error_size) {
  char header[128 + 24 * NPY_MAX_RANK];
  int at = snprintf(header, sizeof(header), "{'descr': '%s', 'fortran_order': False, 'shape': (", type);
  for (int32_t i = 0; i < rank && i < NPY_MAX_RANK; ++i) {
    at += snprintf(header + at, sizeof(header) - (size_t)at, "%" PRId64 "%s", dims[i],
                   rank == 1 ? "," : i + 1 < rank ? ", " : "");
  }
  at += snprintf(header + at, sizeof(header) - (size_t)at, "), }");
  /* Blanks up to a line's end make the elements begin on a multiple of 64. */
  while ((10 + at + 1) % kAlignment != 0) header[at++] = ' ';
  header[at++] = '\n';
  unsigned char start[10] = {0, 0, 0, 0, 0, 0, 1, 0, (unsigned char)(at & 0xFF), (unsigned char)(at >> 8)};
  memcpy(start, kMagic, sizeof(kMagic));
  FILE* file = fopen(path, "wb");
  if (file == NULL) return fail(error, error_size, "%s: %s", path, strerror(errno));
  const int whole = fwrite(start, 1, sizeof(start), file) == sizeof(start) &&
                    fwrite(header, 1, (size_t)at, file) == (size_t)at && fwrite(data, 1, bytes, file) == bytes;
  const int closed = fclose(file) == 0;
  if (!whole || !closed) {
    const int reason = errno;
    (void)remove(path);
    return fail(error, error_size, "%s: cannot be written: %s", path, strerror(reason));
  }
  return 0;
}

void npy_free(npy_array* array) {
  free(array->data);
  array->data = NULL;
}
