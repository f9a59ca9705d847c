/* Tests the C API from C, on a pack whose answer is known: c_api_test PACK INPUT.bin OUTPUT.bin SCRATCH-FILE.
 *
 * Every check that fails prints a line; the exit status is 1 when any did. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wherry/wherry.h"

typedef struct blob {
  unsigned char* data; /* aligned to 64 */
  size_t bytes;
} blob;

static int failures = 0;
static const char* pack_path;
static const char* scratch_path;
static blob pack, input, expected;

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      ++failures;                                                               \
      (void)printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
    }                                                                           \
  } while (0)

/* The call gives `wanted`, and says why in one line. */
#define CHECK_FAILS(model, call, wanted)                                                                         \
  do {                                                                                                           \
    const wherry_status status_ = (call);                                                                        \
    const char* message_ = wherry_message(model);                                                                \
    if (status_ != (wanted) || message_[0] == '\0' || strchr(message_, '\n') != NULL) {                          \
      ++failures;                                                                                                \
      (void)printf("%s:%d: %s gives %d (%s), not %d\n", __FILE__, __LINE__, #call, (int)status_, message_, (int)(wanted)); \
    }                                                                                                            \
  } while (0)

static blob allocate(size_t bytes) {
  blob result = {NULL, bytes};
  void* memory = NULL;
  if (posix_memalign(&memory, 64, bytes == 0 ? 1 : bytes) != 0) abort();
  result.data = memory;
  return result;
}

static blob read_file(const char* path) {
  FILE* file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
    (void)fprintf(stderr, "%s cannot be read\n", path);
    exit(2);
  }
  blob result = allocate((size_t)ftell(file));
  rewind(file);
  if (fread(result.data, 1, result.bytes, file) != result.bytes) exit(2);
  (void)fclose(file);
  return result;
}

static wherry_status run_with(wherry_model* model) {
  const wherry_status status = wherry_set_input(model, 0, input.data, input.bytes);
  return status != WHERRY_OK ? status : wherry_run(model);
}

static void check_answer(wherry_model* model) {
  const void* data = NULL;
  size_t bytes = 0;
  CHECK(run_with(model) == WHERRY_OK);
  CHECK(wherry_output(model, 0, &data, &bytes) == WHERRY_OK);
  CHECK(bytes == expected.bytes && data != NULL && memcmp(data, expected.data, bytes) == 0);
}

static void test_signature(void) {
  wherry_model* model = NULL;
  CHECK(wherry_open_path(pack_path, NULL, &model) == WHERRY_OK);
  CHECK(wherry_message(model)[0] == '\0');
  CHECK(wherry_input_count(model) == 1 && wherry_output_count(model) == 1);
  wherry_tensor_info info;
  CHECK(wherry_input_info(model, 0, &info) == WHERRY_OK);
  CHECK(strcmp(info.name, "x") == 0 && info.dtype == WHERRY_FLOAT32 && info.rank > 0);
  uint64_t elements = 1;
  for (int32_t i = 0; i < info.rank; ++i) elements *= (uint64_t)info.dims[i];
  CHECK(info.bytes == 4 * elements && info.bytes == input.bytes);
  CHECK(wherry_output_info(model, 0, &info) == WHERRY_OK);
  CHECK(info.name[0] != '\0' && info.bytes == expected.bytes);
  CHECK_FAILS(model, wherry_input_info(model, 1, &info), WHERRY_UNKNOWN_NAME);
  CHECK_FAILS(model, wherry_input_info(model, -1, &info), WHERRY_UNKNOWN_NAME);
  CHECK_FAILS(model, wherry_output_info(model, 7, &info), WHERRY_UNKNOWN_NAME);
  CHECK(wherry_input_info(model, 0, NULL) == WHERRY_INVALID_ARGUMENT);
  CHECK(wherry_input_info(NULL, 0, &info) == WHERRY_INVALID_ARGUMENT);
  CHECK(strchr(wherry_version(), '.') != NULL);
  wherry_close(model);
  wherry_close(NULL);
}

static void test_run(void) {
  wherry_model* model = NULL;
  CHECK(wherry_open_path(pack_path, NULL, &model) == WHERRY_OK);
  const void* data = NULL;
  size_t bytes = 0;
  CHECK_FAILS(model, wherry_output(model, 0, &data, &bytes), WHERRY_WRONG_STATE);
  CHECK_FAILS(model, wherry_run(model), WHERRY_WRONG_STATE); /* no input was lent */
  CHECK_FAILS(model, wherry_set_input(model, 0, input.data, input.bytes - 1), WHERRY_SHAPE_MISMATCH);
  CHECK_FAILS(model, wherry_set_input(model, 3, input.data, input.bytes), WHERRY_UNKNOWN_NAME);
  CHECK_FAILS(model, wherry_set_input(model, 0, NULL, input.bytes), WHERRY_INVALID_ARGUMENT);
  CHECK_FAILS(model, wherry_set_input(model, 0, input.data + 1, input.bytes), WHERRY_INVALID_ARGUMENT);
  check_answer(model);
  check_answer(model);
  CHECK_FAILS(model, wherry_output(model, 1, &data, &bytes), WHERRY_UNKNOWN_NAME);
  wherry_stats stats;
  CHECK(wherry_get_stats(model, &stats) == WHERRY_OK);
  CHECK(stats.runs == 2 && stats.partitions > 1 && stats.inference_seconds > 0);
  CHECK(stats.peak_bytes > 0 && stats.memory_needed > 0);
  wherry_close(model);
}

static void test_options(void) {
  wherry_model* model = NULL;
  for (int32_t threads = 1; threads <= 3; ++threads) {
    const wherry_options options = {threads, 0, WHERRY_CACHE_AUTO, NULL};
    CHECK(wherry_open_path(pack_path, &options, &model) == WHERRY_OK);
    check_answer(model);
    wherry_close(model);
  }
  const wherry_options negative = {-1, 0, WHERRY_CACHE_AUTO, NULL};
  CHECK_FAILS(model, wherry_open_path(pack_path, &negative, &model), WHERRY_INVALID_ARGUMENT);
  wherry_close(model);
  const wherry_options tight = {1, 4096, WHERRY_CACHE_AUTO, NULL};
  CHECK_FAILS(model, wherry_open_path(pack_path, &tight, &model), WHERRY_BUDGET_TOO_SMALL);
  wherry_stats stats;
  CHECK(wherry_get_stats(model, &stats) == WHERRY_OK && stats.memory_needed > 4096);
  wherry_close(model);
  const wherry_options enough = {1, stats.memory_needed, WHERRY_CACHE_AUTO, NULL};
  CHECK(wherry_open_path(pack_path, &enough, &model) == WHERRY_OK);
  check_answer(model);
  CHECK(wherry_set_memory_budget(model, WHERRY_NO_LIMIT) == WHERRY_OK);
  check_answer(model);
  CHECK(wherry_get_stats(model, &stats) == WHERRY_OK && stats.streamed_bytes == 0);
  wherry_close(model);
  CHECK(wherry_open_path(NULL, NULL, &model) == WHERRY_INVALID_ARGUMENT);
  CHECK(wherry_open_path(pack_path, NULL, NULL) == WHERRY_INVALID_ARGUMENT);
}

static void test_device(void) {
  wherry_model* model = NULL;
  wherry_device device = {2, 1e10, 4e10, 3e8};
  const wherry_options options = {1, 0, WHERRY_CACHE_AUTO, &device};
  CHECK(wherry_open_path(pack_path, &options, &model) == WHERRY_OK);
  check_answer(model);
  wherry_stats stats;
  CHECK(wherry_get_stats(model, &stats) == WHERRY_OK && stats.streamed_bytes == 0); /* all weights stay */
  wherry_close(model);
  device.storage_bytes = -1;
  CHECK_FAILS(model, wherry_open_path(pack_path, &options, &model), WHERRY_INVALID_ARGUMENT);
  wherry_close(model);
}

static void test_advice(void) {
  const wherry_memory here = wherry_get_memory();
  CHECK(here.safe_budget > 0 && here.safe_budget <= here.physical);
  const uint64_t megabyte = 1000000;
  wherry_android_memory info = {8000 * megabyte, 3000 * megabyte, 200 * megabyte, 0};
  wherry_memory advice = wherry_memory_on_android(&info);
  CHECK(advice.physical == info.total && advice.available == 2800 * megabyte && advice.safe_budget == 2800 * megabyte);
  info.available = 7000 * megabyte;
  CHECK(wherry_memory_on_android(&info).safe_budget == 4000 * megabyte); /* half of all */
  info.low = 1;
  advice = wherry_memory_on_android(&info);
  CHECK(advice.available == 0 && advice.safe_budget == 1); /* 0 would be no limit */
  info.low = 0;
  info.available = info.threshold;
  CHECK(wherry_memory_on_android(&info).safe_budget == 1);
  CHECK(wherry_memory_on_android(NULL).safe_budget == 1);
}

static void test_trim(void) {
  wherry_model* model = NULL;
  CHECK(wherry_open_path(pack_path, NULL, &model) == WHERRY_OK);
  for (int32_t level = 5; level <= 80; level += 5) {
    check_answer(model);
    CHECK(wherry_trim_on_android(model, level) == WHERRY_OK);
  }
  check_answer(model);
  CHECK(wherry_trim_on_android(NULL, 80) == WHERRY_INVALID_ARGUMENT);
  wherry_close(model);
}

/* As an asset inside an APK: somewhere in a larger file. */
static void test_descriptor(size_t before) {
  FILE* file = fopen(scratch_path, "wb");
  CHECK(file != NULL);
  if (file == NULL) return;
  for (size_t i = 0; i < before; ++i) (void)fputc('a', file);
  CHECK(fwrite(pack.data, 1, pack.bytes, file) == pack.bytes);
  (void)fputs("what follows in the archive", file);
  (void)fclose(file);
  const int descriptor = open(scratch_path, O_RDONLY);
  wherry_model* model = NULL;
  CHECK(wherry_open_descriptor(descriptor, before, pack.bytes, NULL, &model) == WHERRY_OK);
  (void)close(descriptor); /* the model has its own */
  check_answer(model);
  wherry_close(model);
  CHECK_FAILS(model, wherry_open_descriptor(-1, 0, 0, NULL, &model), WHERRY_IO);
  wherry_close(model);
}

static void test_memory(void) {
  wherry_model* model = NULL;
  CHECK(wherry_open_memory(pack.data, pack.bytes, NULL, &model) == WHERRY_OK);
  check_answer(model);
  wherry_close(model);
}

typedef struct progress_log {
  wherry_model* model;
  int32_t calls, last, partitions, stop_at;
  int by_cancel;
} progress_log;

static int on_progress(void* user, int32_t done, int32_t partitions) {
  progress_log* log = user;
  ++log->calls;
  CHECK(done == log->last + 1);
  log->last = done;
  log->partitions = partitions;
  if (done != log->stop_at) return 0;
  if (!log->by_cancel) return 1;
  CHECK(wherry_cancel(log->model) == WHERRY_OK);
  return 0;
}

static void test_progress(void) {
  wherry_model* model = NULL;
  CHECK(wherry_open_path(pack_path, NULL, &model) == WHERRY_OK);
  progress_log log = {model, 0, 0, 0, -1, 0};
  CHECK(wherry_set_progress(model, on_progress, &log) == WHERRY_OK);
  check_answer(model);
  CHECK(log.calls == log.partitions && log.calls > 1);
  for (int by_cancel = 0; by_cancel < 2; ++by_cancel) {
    const progress_log stopping = {model, 0, 0, 0, 1, by_cancel};
    log = stopping;
    CHECK_FAILS(model, run_with(model), WHERRY_CANCELLED);
    CHECK(log.calls == 1);
    const void* data = NULL;
    size_t bytes = 0;
    CHECK_FAILS(model, wherry_output(model, 0, &data, &bytes), WHERRY_WRONG_STATE);
  }
  CHECK(wherry_set_progress(model, NULL, NULL) == WHERRY_OK);
  check_answer(model); /* a cancelled run leaves nothing behind */
  wherry_close(model);
}

static void check_state(wherry_model* model, wherry_checkpoint_kind kind, int32_t done) {
  wherry_checkpoint state;
  CHECK(wherry_checkpoint_state(model, &state) == WHERRY_OK);
  CHECK(state.kind == kind && state.partitions_done == done && state.partitions > 1);
}

/* A run that ends after a partition goes on in another handle. */
static void test_checkpoint(void) {
  (void)remove(scratch_path);
  wherry_model* model = NULL;
  wherry_stats stats;
  wherry_checkpoint state;
  CHECK(wherry_open_path(pack_path, NULL, &model) == WHERRY_OK);
  CHECK_FAILS(model, wherry_checkpoint_state(model, &state), WHERRY_WRONG_STATE);
  CHECK_FAILS(model, wherry_set_checkpoint(model, ""), WHERRY_INVALID_ARGUMENT);
  CHECK(wherry_set_checkpoint(model, scratch_path) == WHERRY_OK);
  check_state(model, WHERRY_CHECKPOINT_NONE, 0);
  progress_log log = {model, 0, 0, 0, 2, 0};
  CHECK(wherry_set_progress(model, on_progress, &log) == WHERRY_OK);
  CHECK_FAILS(model, run_with(model), WHERRY_CANCELLED);
  check_state(model, WHERRY_CHECKPOINT_INTERRUPTED, 2);
  wherry_close(model);
  CHECK(wherry_open_path(pack_path, NULL, &model) == WHERRY_OK);
  CHECK(wherry_set_checkpoint(model, scratch_path) == WHERRY_OK);
  check_answer(model);
  CHECK(wherry_get_stats(model, &stats) == WHERRY_OK && stats.first_partition == 2);
  check_state(model, WHERRY_CHECKPOINT_COMPLETED, stats.partitions);
  CHECK(wherry_set_checkpoint(model, "/nonexistent/checkpoint") == WHERRY_OK);
  CHECK_FAILS(model, run_with(model), WHERRY_IO);
  CHECK(strstr(wherry_message(model), "/nonexistent/checkpoint") != NULL);
  CHECK(wherry_set_checkpoint(model, NULL) == WHERRY_OK);
  check_answer(model);
  wherry_close(model);
}

/* Opens bytes and, where that succeeds, runs them. */
static wherry_status try_bytes(const blob* bytes) {
  wherry_model* model = NULL;
  wherry_status status = wherry_open_memory(bytes->data, bytes->bytes, NULL, &model);
  if (status == WHERRY_OK) status = run_with(model);
  CHECK(status == WHERRY_OK || wherry_message(model)[0] != '\0');
  wherry_close(model);
  return status;
}

static uint64_t metadata_end(void) {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  memcpy(&offset, pack.data + 24, sizeof(offset));
  memcpy(&bytes, pack.data + 32, sizeof(bytes));
  return offset + bytes;
}

static void test_damage(void) {
  const size_t end = (size_t)metadata_end();
  for (size_t keep = 0; keep < pack.bytes; keep += keep < 80 ? 1 : 997) {
    blob cut = allocate(keep);
    memcpy(cut.data, pack.data, keep);
    const wherry_status status = try_bytes(&cut);
    CHECK(status == (keep < 8 ? WHERRY_NOT_A_PACK : WHERRY_TRUNCATED));
    free(cut.data);
  }
  blob copy = allocate(pack.bytes);
  memcpy(copy.data, pack.data, pack.bytes);
  for (size_t at = 0; at < end; at += at < 64 ? 1 : 37) {
    copy.data[at] ^= (unsigned char)(1u << at % 8);
    const wherry_status status = try_bytes(&copy);
    CHECK(status >= WHERRY_NOT_A_PACK && status <= WHERRY_NEWER_VERSION);
    copy.data[at] = pack.data[at];
  }
  copy.data[pack.bytes - 1] ^= 1; /* in the last segment: weights */
  CHECK(try_bytes(&copy) == WHERRY_CORRUPT);
  copy.data[pack.bytes - 1] ^= 1;
  copy.data[8] = 2; /* the format's major version */
  CHECK(try_bytes(&copy) == WHERRY_NEWER_VERSION);
  copy.data[8] = pack.data[8];
  copy.data[0] = 'P';
  CHECK(try_bytes(&copy) == WHERRY_NOT_A_PACK);
  copy.data[0] = pack.data[0];
  CHECK(try_bytes(&copy) == WHERRY_OK);
  free(copy.data);
}

static void test_no_pack(void) {
  wherry_model* model = NULL;
  CHECK_FAILS(model, wherry_open_path("/nonexistent/model.wherry", NULL, &model), WHERRY_IO);
  CHECK(strncmp(wherry_message(model), "/nonexistent/model.wherry: ", 27) == 0);
  wherry_tensor_info info;
  CHECK(wherry_input_count(model) == 0);
  CHECK_FAILS(model, wherry_input_info(model, 0, &info), WHERRY_WRONG_STATE);
  CHECK_FAILS(model, wherry_run(model), WHERRY_WRONG_STATE);
  wherry_close(model);
  CHECK_FAILS(model, wherry_open_path("/tmp", NULL, &model), WHERRY_IO);
  wherry_close(model);
}

int main(int argc, char** argv) {
  if (argc != 5) {
    (void)fprintf(stderr, "usage: c_api_test PACK INPUT.bin OUTPUT.bin SCRATCH-FILE\n");
    return 2;
  }
  pack_path = argv[1];
  scratch_path = argv[4];
  pack = read_file(argv[1]);
  input = read_file(argv[2]);
  expected = read_file(argv[3]);
  test_signature();
  test_run();
  test_options();
  test_descriptor(0);
  test_descriptor(3 * 4096 + 64);
  test_descriptor(4); /* all that Android promises */
  test_device();
  test_advice();
  test_trim();
  test_memory();
  test_progress();
  test_checkpoint();
  test_damage();
  test_no_pack();
  free(pack.data);
  free(input.data);
  free(expected.data);
  (void)printf("%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
