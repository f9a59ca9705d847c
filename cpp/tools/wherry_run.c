/* wherry_run: runs a pack on .npy files, on a device or under an emulator, and says what it took.
 *
 * Plain C over the C API: it proves that the library links into a C program without a C++ runtime library. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "npy.h"
#include "options.h"
#include "wherry/wherry.h"

enum { kFailed = 1, kUsageError = 2 };

typedef struct run {
  options asked;
  wherry_model* model;
  npy_array inputs[kMaxFiles];
  int32_t num_inputs, num_outputs;
  double best_seconds;
  uint64_t process_gained;
  wherry_stats stats;
  char error[1024];
} run;

static const struct {
  wherry_dtype dtype;
  const char* npy;
  const char* name;
} kTypes[] = {
    {WHERRY_FLOAT32, "<f4", "float32"}, {WHERRY_FLOAT64, "<f8", "float64"}, {WHERRY_FLOAT16, "<f2", "float16"},
    {WHERRY_INT8, "|i1", "int8"},       {WHERRY_UINT8, "|u1", "uint8"},     {WHERRY_INT16, "<i2", "int16"},
    {WHERRY_UINT16, "<u2", "uint16"},   {WHERRY_INT32, "<i4", "int32"},     {WHERRY_UINT32, "<u4", "uint32"},
    {WHERRY_INT64, "<i8", "int64"},     {WHERRY_UINT64, "<u8", "uint64"},   {WHERRY_BOOL, "|b1", "bool"},
};

static size_t type_index(wherry_dtype dtype) {
  size_t i = 0;
  while (i + 1 < sizeof(kTypes) / sizeof(kTypes[0]) && kTypes[i].dtype != dtype) ++i;
  return i;
}

/* "1x128x128x1" */
static void format_shape(int32_t rank, const int64_t* dims, char* text, size_t size) {
  size_t at = 0;
  text[0] = '\0';
  for (int32_t i = 0; i < rank && at < size; ++i) {
    at += (size_t)snprintf(text + at, size - at, "%s%" PRId64, i > 0 ? "x" : "", dims[i]);
  }
}

/* Bytes of a line such as "VmHWM:   1234 kB" in /proc/self/status; 0 where there is none. */
static uint64_t process_bytes(const char* field) {
  FILE* file = fopen("/proc/self/status", "r");
  uint64_t kilobytes = 0;
  char line[256];
  while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
    if (strncmp(line, field, strlen(field)) == 0) kilobytes = strtoull(line + strlen(field), NULL, 10);
  }
  if (file != NULL) (void)fclose(file);
  return kilobytes * 1024;
}

/* Makes VmHWM count from now on; where the system does not allow it, the growth shown is a lower bound. */
static void reset_high_water_mark(void) {
  FILE* file = fopen("/proc/self/clear_refs", "w");
  if (file == NULL) return;
  (void)fputs("5", file);
  (void)fclose(file);
}

static int failed(run* r, wherry_status status) {
  const char* said = r->model == NULL ? "out of memory" : wherry_message(r->model);
  if (strncmp(said, r->asked.model, strlen(r->asked.model)) == 0) { /* opening says it itself */
    (void)snprintf(r->error, sizeof(r->error), "%s", said);
  } else {
    (void)snprintf(r->error, sizeof(r->error), "%s: %s", r->asked.model, said);
  }
  return status >= 100 && status < 200 ? kUsageError : kFailed;
}

/* The file that was given for a tensor, or null. With one tensor, the name may be left out. */
static const char* file_for(const named_file* files, int count, const char* name, int32_t tensors) {
  for (int i = 0; i < count; ++i) {
    if (files[i].name == NULL ? tensors == 1 : strcmp(files[i].name, name) == 0) return files[i].file;
  }
  return NULL;
}

static int check_names(run* r, const named_file* files, int count, int32_t tensors, const char* what,
                       wherry_status (*get)(wherry_model*, int32_t, wherry_tensor_info*)) {
  for (int i = 0; i < count; ++i) {
    int found = files[i].name == NULL && tensors == 1;
    wherry_tensor_info info = {0};
    for (int32_t k = 0; k < tensors && !found; ++k) {
      (void)get(r->model, k, &info);
      found = files[i].name != NULL && strcmp(info.name, files[i].name) == 0;
    }
    if (!found) {
      (void)snprintf(r->error, sizeof(r->error), "there is no %s %s; one is called %s", what,
                     files[i].name == NULL ? "without a name" : files[i].name, info.name == NULL ? "nothing" : info.name);
      return kUsageError;
    }
  }
  return 0;
}

static int read_input(run* r, int32_t index) {
  wherry_tensor_info info;
  (void)wherry_input_info(r->model, index, &info);
  const char* file = file_for(r->asked.inputs, r->asked.num_inputs, info.name, r->num_inputs);
  if (file == NULL) {
    (void)snprintf(r->error, sizeof(r->error), "the input %s is missing: --input %s=FILE.npy", info.name, info.name);
    return kUsageError;
  }
  npy_array* array = &r->inputs[index];
  if (npy_read(file, array, r->error, sizeof(r->error)) != 0) return kFailed;
  const size_t type = type_index(info.dtype);
  int same = array->rank == info.rank && strcmp(array->type, kTypes[type].npy) == 0;
  for (int32_t i = 0; same && i < info.rank; ++i) same = array->dims[i] == info.dims[i];
  if (!same) {
    char wanted[256];
    char given[256];
    format_shape(info.rank, info.dims, wanted, sizeof(wanted));
    format_shape(array->rank, array->dims, given, sizeof(given));
    (void)snprintf(r->error, sizeof(r->error), "%s: the input %s is %s [%s], the file has %s [%s]", file, info.name,
                   kTypes[type].name, wanted, array->type, given);
    return kUsageError;
  }
  return 0;
}

/* Makes --output-dir, and the folders above it, where they are missing. */
static int make_output_dir(run* r) {
  if (r->asked.output_dir == NULL) return 0;
  char path[4096];
  const int length = snprintf(path, sizeof(path), "%s", r->asked.output_dir);
  int reason = length < 0 || (size_t)length >= sizeof(path) ? ENAMETOOLONG : 0;
  for (char* at = path; reason == 0 && *at != '\0'; ++at) {
    if (at[1] != '/' && at[1] != '\0') continue;
    const char kept = at[1];
    at[1] = '\0';
    if (mkdir(path, 0777) != 0) reason = errno;
    struct stat found;
    if (reason != 0 && stat(path, &found) == 0) reason = S_ISDIR(found.st_mode) ? 0 : ENOTDIR;
    at[1] = kept;
  }
  if (reason == 0) return 0;
  (void)snprintf(r->error, sizeof(r->error), "%s: the folder cannot be made: %s", r->asked.output_dir, strerror(reason));
  return kFailed;
}

static int write_outputs(run* r) {
  for (int32_t i = 0; i < r->num_outputs; ++i) {
    wherry_tensor_info info;
    (void)wherry_output_info(r->model, i, &info);
    const char* file = file_for(r->asked.outputs, r->asked.num_outputs, info.name, r->num_outputs);
    char path[4096];
    if (file == NULL && r->asked.output_dir != NULL) {
      const int length = snprintf(path, sizeof(path), "%s/%s.npy", r->asked.output_dir, info.name);
      if (length < 0 || (size_t)length >= sizeof(path)) continue;
      for (char* at = path + strlen(r->asked.output_dir) + 1; *at != '\0'; ++at) {
        if (*at == '/' || *at == ':') *at = '_';
      }
      file = path;
    }
    if (file == NULL) continue;
    const void* data = NULL;
    size_t bytes = 0;
    const wherry_status status = wherry_output(r->model, i, &data, &bytes);
    if (status != WHERRY_OK) return failed(r, status);
    if (npy_write(file, kTypes[type_index(info.dtype)].npy, info.rank, info.dims, data, bytes, r->error,
                  sizeof(r->error)) != 0) {
      return kFailed;
    }
  }
  return 0;
}

static int open_and_run(run* r) {
  const uint64_t before_open = process_bytes("VmRSS:");
  reset_high_water_mark();
  const wherry_options how = {r->asked.threads, r->asked.memory_budget, r->asked.page_cache, NULL};
  wherry_status status = wherry_open_path(r->asked.model, &how, &r->model);
  if (status != WHERRY_OK) return failed(r, status);
  r->num_inputs = wherry_input_count(r->model);
  r->num_outputs = wherry_output_count(r->model);
  if (r->num_inputs > kMaxFiles) {
    r->num_inputs = 0;
    (void)snprintf(r->error, sizeof(r->error), "%s has more than %d inputs", r->asked.model, kMaxFiles);
    return kFailed;
  }
  int result =
      check_names(r, r->asked.inputs, r->asked.num_inputs, r->num_inputs, "input", wherry_input_info);
  if (result == 0) {
    result = check_names(r, r->asked.outputs, r->asked.num_outputs, r->num_outputs, "output", wherry_output_info);
  }
  size_t input_bytes = 0;
  for (int32_t i = 0; result == 0 && i < r->num_inputs; ++i) {
    result = read_input(r, i);
    input_bytes += r->inputs[i].bytes;
  }
  if (result == 0) result = make_output_dir(r);
  if (result != 0) return result;
  status = wherry_set_checkpoint(r->model, r->asked.checkpoint);
  if (status != WHERRY_OK) return failed(r, status);
  for (int turn = 0; turn < r->asked.repeat; ++turn) {
    for (int32_t i = 0; i < r->num_inputs; ++i) {
      status = wherry_set_input(r->model, i, r->inputs[i].data, r->inputs[i].bytes);
      if (status != WHERRY_OK) return failed(r, status);
    }
    status = wherry_run(r->model);
    if (status != WHERRY_OK) return failed(r, status);
    (void)wherry_get_stats(r->model, &r->stats);
    if (turn == 0 || r->stats.inference_seconds < r->best_seconds) r->best_seconds = r->stats.inference_seconds;
  }
  const uint64_t after = process_bytes("VmHWM:");
  const uint64_t start = before_open + input_bytes; /* the inputs are the caller's, not the model's */
  r->process_gained = after > start ? after - start : 0;
  return write_outputs(r);
}

static void print_json_string(const char* text) {
  (void)putchar('"');
  for (; *text != '\0'; ++text) {
    const unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\') {
      (void)printf("\\%c", c);
    } else if (c < 0x20) {
      (void)printf("\\u%04x", c);
    } else {
      (void)putchar(c);
    }
  }
  (void)putchar('"');
}

static void print_json(const run* r) {
  (void)printf("{\"model\": ");
  print_json_string(r->asked.model);
  (void)printf(", \"version\": \"%s\", \"threads\": %d, \"runs\": %" PRIu64 ", \"partitions\": %d, ", wherry_version(),
               r->asked.threads, r->stats.runs, r->stats.partitions);
  (void)printf("\"first_partition\": %d, \"partitions_run\": %d, ", r->stats.first_partition,
               r->stats.partitions - r->stats.first_partition);
  (void)printf("\"load_seconds\": %.6f, \"inference_seconds\": %.6f, \"best_inference_seconds\": %.6f, ",
               r->stats.load_seconds, r->stats.inference_seconds, r->best_seconds);
  (void)printf("\"io_seconds\": %.6f, \"peak_bytes\": %" PRIu64 ", \"memory_needed\": %" PRIu64
               ", \"process_gained_bytes\": %" PRIu64 ", \"outputs\": {",
               r->stats.io_seconds, r->stats.peak_bytes, r->stats.memory_needed, r->process_gained);
  for (int32_t i = 0; i < r->num_outputs; ++i) {
    wherry_tensor_info info;
    (void)wherry_output_info(r->model, i, &info);
    if (i > 0) (void)printf(", ");
    print_json_string(info.name);
    (void)printf(": {\"dtype\": \"%s\", \"shape\": [", kTypes[type_index(info.dtype)].name);
    for (int32_t d = 0; d < info.rank; ++d) (void)printf("%s%" PRId64, d > 0 ? ", " : "", info.dims[d]);
    (void)printf("]}");
  }
  (void)printf("}}\n");
}

static void print_text(const run* r) {
  if (r->stats.first_partition > 0) {
    (void)printf("resumed    %10d of %d partitions had run\n", r->stats.first_partition, r->stats.partitions);
  }
  (void)printf("load       %10.3f ms\n", r->stats.load_seconds * 1e3);
  (void)printf("inference  %10.3f ms, best of %" PRIu64 ": %.3f ms\n", r->stats.inference_seconds * 1e3, r->stats.runs,
               r->best_seconds * 1e3);
  (void)printf("weights    %10.3f ms waited for\n", r->stats.io_seconds * 1e3);
  (void)printf("peak       %10.3f MB held, %.3f MB gained by the process\n", (double)r->stats.peak_bytes / 1e6,
               (double)r->process_gained / 1e6);
  (void)printf("needed     %10.3f MB, in %d partition%s\n", (double)r->stats.memory_needed / 1e6, r->stats.partitions,
               r->stats.partitions == 1 ? "" : "s");
}

int main(int argc, char** argv) {
  static run r;
  int result = 0;
  if (parse_options(argc, argv, &r.asked, r.error, sizeof(r.error)) != 0) {
    result = kUsageError;
  } else if (r.asked.help) {
    (void)fputs(kUsage, stdout);
    return 0;
  } else {
    result = open_and_run(&r);
  }
  if (result != 0) {
    (void)fprintf(stderr, "wherry_run: %s\n", r.error);
  } else if (r.asked.json) {
    print_json(&r);
  } else {
    print_text(&r);
  }
  for (int32_t i = 0; i < r.num_inputs; ++i) npy_free(&r.inputs[i]);
  wherry_close(r.model);
  return result;
}
