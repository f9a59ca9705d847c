/* Runs packs through the C API in a process without Python, so that sanitizers see the runtime alone.
 *
 * harness run THREADS PACK...   each pack from its path and from memory, twice; prints a digest of its outputs
 * harness apart PACK            two handles on two threads at once, a third thread cancels one of them
 * harness memory THREADS FILE PACK...
 *                               each pack with budgets that change between runs, with and without the page cache,
 *                               while another thread gives back memory; then cut off after each partition and resumed
 *                               from a checkpoint in FILE
 * harness fuzz THREADS          packs from standard input, each 8 bytes of length (little-endian) and its bytes; prints
 *                               "N status" for each. A pack may be refused, and must not do harm.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wherry/wherry.h"

enum { kSeconds = 20 };                              /* for one pack; more is a hang */
static const uint64_t kFuzzBudget = 96u << 20;       /* a hostile pack may ask for any size */
static wherry_model* volatile g_running;             /* what the alarm cancels */
static volatile sig_atomic_t g_alarms;

static void on_alarm(int signal) {
  (void)signal;
  if (++g_alarms > 1) {
    static const char text[] = "hang\n";
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    abort();
  }
  if (g_running != NULL) (void)wherry_cancel(g_running);
  alarm(kSeconds);
}

static uint64_t digest(uint64_t state, const void* data, size_t bytes) {
  const unsigned char* at = data;
  for (size_t i = 0; i < bytes; ++i) state = (state ^ at[i]) * 1099511628211u;
  return state;
}

/* Values that every type can hold: floats in [-1, 1), others 0, 1 or 2. */
static void* make_input(const wherry_tensor_info* info) {
  unsigned char* data = NULL;
  if (posix_memalign((void**)&data, 64, info->bytes + 1) != 0) return NULL;
  memset(data, 0, info->bytes);
  uint32_t state = 1;
  if (info->dtype == WHERRY_FLOAT32) {
    for (size_t i = 0; i + 4 <= info->bytes; i += 4) {
      state = state * 1664525u + 1013904223u;
      const float value = (float)(state >> 8) / 8388608.0f - 1.0f;
      memcpy(data + i, &value, 4);
    }
  } else if (info->dtype == WHERRY_INT32) {
    for (size_t i = 0; i + 4 <= info->bytes; i += 4) data[i] = (unsigned char)(i / 4 % 3);
  }
  return data;
}

/* Runs `times`; *result is a digest of the outputs of the last. */
static wherry_status run_model(wherry_model* model, int times, uint64_t* result) {
  const int32_t inputs = wherry_input_count(model);
  void** data = calloc((size_t)inputs + 1, sizeof(void*));
  wherry_status status = WHERRY_OK;
  *result = 14695981039346656037u;
  for (int32_t i = 0; i < inputs && status == WHERRY_OK; ++i) {
    wherry_tensor_info info;
    status = wherry_input_info(model, i, &info);
    if (status == WHERRY_OK && (data[i] = make_input(&info)) == NULL) status = WHERRY_OUT_OF_MEMORY;
  }
  for (int turn = 0; turn < times && status == WHERRY_OK; ++turn) {
    for (int32_t i = 0; i < inputs && status == WHERRY_OK; ++i) {
      wherry_tensor_info info;
      (void)wherry_input_info(model, i, &info);
      status = wherry_set_input(model, i, data[i], info.bytes);
    }
    if (status == WHERRY_OK) status = wherry_run(model);
  }
  for (int32_t i = 0; i < wherry_output_count(model) && status == WHERRY_OK; ++i) {
    const void* output = NULL;
    size_t bytes = 0;
    status = wherry_output(model, i, &output, &bytes);
    if (status == WHERRY_OK) *result = digest(*result, output, bytes);
  }
  for (int32_t i = 0; i < inputs; ++i) free(data[i]);
  free(data);
  return status;
}

static void* read_file(const char* path, size_t* bytes) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) return NULL;
  (void)fseek(file, 0, SEEK_END);
  *bytes = (size_t)ftell(file);
  rewind(file);
  void* data = NULL;
  if (posix_memalign(&data, 64, *bytes) != 0 || fread(data, 1, *bytes, file) != *bytes) {
    free(data);
    data = NULL;
  }
  (void)fclose(file);
  return data;
}

static int report(const char* path, wherry_model* model, wherry_status status) {
  (void)fprintf(stderr, "%s: status %d: %s\n", path, (int)status, wherry_message(model));
  wherry_close(model);
  return 1;
}

static int run_packs(int threads, int count, char** paths) {
  for (int i = 0; i < count; ++i) {
    wherry_options options = {threads, 0, WHERRY_CACHE_AUTO, NULL};
    uint64_t from_path = 0, streamed = 0, from_memory = 0;
    wherry_model* model = NULL;
    wherry_status status = wherry_open_path(paths[i], &options, &model);
    if (status == WHERRY_OK) status = run_model(model, 2, &from_path);
    wherry_stats stats = {0};
    (void)wherry_get_stats(model, &stats);
    if (status != WHERRY_OK) return report(paths[i], model, status);
    wherry_close(model);

    options.memory_budget = stats.memory_needed;
    status = wherry_open_path(paths[i], &options, &model);
    if (status == WHERRY_OK) status = run_model(model, 2, &streamed);
    if (status != WHERRY_OK) return report(paths[i], model, status);
    wherry_close(model);

    size_t bytes = 0;
    void* data = read_file(paths[i], &bytes);
    status = wherry_open_memory(data, bytes, &options, &model);
    if (status == WHERRY_OK) status = run_model(model, 1, &from_memory);
    if (status != WHERRY_OK) return report(paths[i], model, status);
    wherry_close(model);
    free(data);
    if (from_path != streamed || from_path != from_memory) {
      (void)fprintf(stderr, "%s: outputs depend on how it is read\n", paths[i]);
      return 1;
    }
    (void)printf("%016" PRIx64 " %s\n", from_path, paths[i]);
  }
  return 0;
}

typedef struct job {
  const char* path;
  wherry_model* model;
  uint64_t result;
  wherry_status status;
} job;

static void* run_job(void* argument) {
  job* j = argument;
  j->status = run_model(j->model, 3, &j->result);
  return NULL;
}

static int run_apart(const char* path) {
  job jobs[3] = {{0}};
  pthread_t threads[3];
  const wherry_options options = {2, 0, WHERRY_CACHE_AUTO, NULL};
  for (int i = 0; i < 3; ++i) {
    jobs[i].path = path;
    const wherry_status status = wherry_open_path(path, &options, &jobs[i].model);
    if (status != WHERRY_OK) return report(path, jobs[i].model, status);
  }
  for (int i = 0; i < 3; ++i) (void)pthread_create(&threads[i], NULL, &run_job, &jobs[i]);
  for (int i = 0; i < 200; ++i) {
    (void)wherry_cancel(jobs[2].model);
    const struct timespec pause = {0, 100000};
    (void)nanosleep(&pause, NULL);
  }
  for (int i = 0; i < 3; ++i) (void)pthread_join(threads[i], NULL);
  const int good = jobs[0].status == WHERRY_OK && jobs[1].status == WHERRY_OK && jobs[0].result == jobs[1].result &&
                   (jobs[2].status == WHERRY_CANCELLED || jobs[2].status == WHERRY_OK);
  for (int i = 0; i < 3; ++i) wherry_close(jobs[i].model);
  if (!good) (void)fprintf(stderr, "%s: handles on threads of their own disturb each other\n", path);
  return good ? 0 : 1;
}

typedef struct trimmer {
  wherry_model* model;
  atomic_int stop;
} trimmer;

static void* trim_often(void* argument) {
  trimmer* t = argument;
  while (!atomic_load(&t->stop)) {
    (void)wherry_trim_memory(t->model);
    const struct timespec pause = {0, 300000};
    (void)nanosleep(&pause, NULL);
  }
  return NULL;
}

static int run_budgets(const char* path, const wherry_options* options, uint64_t expected) {
  wherry_model* model = NULL;
  wherry_status status = wherry_open_path(path, options, &model);
  if (status != WHERRY_OK) return report(path, model, status);
  const uint64_t least = options->memory_budget;
  struct stat info;
  const uint64_t bytes = stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
  const uint64_t budgets[] = {least, least + least / 4, least + bytes / 4 * 3, 0, least + bytes / 2, least + 1, least};
  trimmer trim;
  trim.model = model;
  atomic_init(&trim.stop, 0);
  pthread_t thread;
  (void)pthread_create(&thread, NULL, &trim_often, &trim);
  int differs = 0;
  for (size_t i = 0; i < sizeof(budgets) / sizeof(*budgets) && status == WHERRY_OK; ++i) {
    status = wherry_set_memory_budget(model, budgets[i]);
    uint64_t found = 0;
    if (status == WHERRY_OK) status = run_model(model, 2, &found);
    differs |= found != expected;
  }
  atomic_store(&trim.stop, 1);
  (void)pthread_join(thread, NULL);
  if (status != WHERRY_OK) return report(path, model, status);
  const int refused = least == 0 || wherry_set_memory_budget(model, least - 1) == WHERRY_BUDGET_TOO_SMALL;
  wherry_close(model);
  if (differs) (void)fprintf(stderr, "%s: outputs depend on the budget\n", path);
  if (!refused) (void)fprintf(stderr, "%s: a budget below the smallest is taken\n", path);
  return differs || !refused;
}

static int cut_off(void* user, int32_t done, int32_t partitions) {
  (void)partitions;
  return done == *(const int32_t*)user;
}

static int run_resumed(const char* path, const wherry_options* options, const char* file, int32_t partitions,
                       uint64_t expected) {
  for (int32_t cut = 1; cut < partitions; ++cut) {
    (void)remove(file);
    uint64_t found = 0;
    for (int turn = 0; turn < 2; ++turn) {
      wherry_model* model = NULL;
      wherry_status status = wherry_open_path(path, options, &model);
      if (status == WHERRY_OK) status = wherry_set_checkpoint(model, file);
      if (status == WHERRY_OK && turn == 0) status = wherry_set_progress(model, &cut_off, &cut);
      if (status == WHERRY_OK) status = run_model(model, 1, &found);
      wherry_stats stats = {0};
      (void)wherry_get_stats(model, &stats);
      if (status != (turn == 0 ? WHERRY_CANCELLED : WHERRY_OK)) return report(path, model, status);
      wherry_close(model);
      if (turn == 1 && (found != expected || stats.first_partition != cut)) {
        (void)fprintf(stderr, "%s: cut off after %d partitions, it goes on at %d, outputs %s\n", path, (int)cut,
                      (int)stats.first_partition, found == expected ? "equal" : "differ");
        return 1;
      }
    }
  }
  (void)remove(file);
  return 0;
}

static int run_memory(int threads, const char* file, int count, char** paths) {
  for (int i = 0; i < count; ++i) {
    wherry_options options = {threads, 0, WHERRY_CACHE_AUTO, NULL};
    wherry_model* model = NULL;
    uint64_t expected = 0;
    wherry_status status = wherry_open_path(paths[i], &options, &model);
    if (status == WHERRY_OK) status = run_model(model, 1, &expected);
    wherry_stats stats = {0};
    (void)wherry_get_stats(model, &stats);
    if (status != WHERRY_OK) return report(paths[i], model, status);
    wherry_close(model);
    options.memory_budget = stats.memory_needed;
    for (int cache = WHERRY_CACHE_AUTO; cache <= WHERRY_CACHE_LEAVE; ++cache) {
      options.page_cache = (wherry_page_cache)cache;
      if (run_budgets(paths[i], &options, expected) != 0) return 1;
    }
    if (run_resumed(paths[i], &options, file, stats.partitions, expected) != 0) return 1;
  }
  return 0;
}

static int fuzz(int threads) {
  const wherry_options options = {threads, kFuzzBudget, WHERRY_CACHE_AUTO, NULL};
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = &on_alarm;
  (void)sigaction(SIGALRM, &action, NULL);
  uint64_t bytes = 0;
  for (unsigned number = 0; fread(&bytes, sizeof(bytes), 1, stdin) == 1; ++number) {
    void* data = NULL;
    if (posix_memalign(&data, 64, (size_t)bytes) != 0 || fread(data, 1, (size_t)bytes, stdin) != bytes) return 1;
    g_alarms = 0;
    alarm(kSeconds);
    wherry_model* model = NULL;
    uint64_t result = 0;
    wherry_status status = wherry_open_memory(data, (size_t)bytes, &options, &model);
    g_running = model;
    if (status == WHERRY_OK) status = run_model(model, 1, &result);
    g_running = NULL;
    alarm(0);
    (void)printf("%u %d %016" PRIx64 " %.160s\n", number, (int)status, result, wherry_message(model));
    (void)fflush(stdout);
    wherry_close(model);
    free(data);
  }
  return 0;
}

int main(int argc, char** argv) {
  if (argc >= 4 && strcmp(argv[1], "run") == 0) return run_packs(atoi(argv[2]), argc - 3, argv + 3);
  if (argc >= 5 && strcmp(argv[1], "memory") == 0) return run_memory(atoi(argv[2]), argv[3], argc - 4, argv + 4);
  if (argc == 3 && strcmp(argv[1], "apart") == 0) return run_apart(argv[2]);
  if (argc == 3 && strcmp(argv[1], "fuzz") == 0) return fuzz(atoi(argv[2]));
  (void)fprintf(stderr, "usage: harness run THREADS PACK... | apart PACK | memory THREADS FILE PACK... | fuzz THREADS\n");
  return 2;
}
