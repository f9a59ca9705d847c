/* Wherry's C API: opens a pack and runs it.
 *
 * Threads: a handle may be used from any thread, by one thread at a time; wherry_cancel may come from any thread at
 * any time. There is no global state. Every call returns a status; wherry_message says in one line what went wrong.
 * Strings are UTF-8 and, like all pointers handed out, belong to the handle and live until it is closed unless said
 * otherwise. Sizes are bytes. Tensors are row-major. */
#ifndef WHERRY_WHERRY_H_
#define WHERRY_WHERRY_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define WHERRY_API __declspec(dllexport)
#else
#define WHERRY_API __attribute__((visibility("default")))
#endif

/* 1xx: the call. 2xx: the pack. 3xx: resources. 4xx: the run. */
typedef enum wherry_status {
  WHERRY_OK = 0,
  WHERRY_INVALID_ARGUMENT = 100,
  WHERRY_UNKNOWN_NAME = 101,
  WHERRY_SHAPE_MISMATCH = 102,
  WHERRY_TYPE_MISMATCH = 103,
  WHERRY_WRONG_STATE = 104,
  WHERRY_NOT_A_PACK = 200,
  WHERRY_TRUNCATED = 201,
  WHERRY_CORRUPT = 202,
  WHERRY_NEWER_VERSION = 203,
  WHERRY_MISSING_KERNEL = 204,
  WHERRY_OUT_OF_MEMORY = 300,
  WHERRY_BUDGET_TOO_SMALL = 301,
  WHERRY_IO = 302,
  WHERRY_THREAD = 303,
  WHERRY_CANCELLED = 400,
  WHERRY_KERNEL_FAILED = 401
} wherry_status;

/* Element types, numbered as TensorFlow's DataType. */
typedef enum wherry_dtype {
  WHERRY_FLOAT32 = 1,
  WHERRY_FLOAT64 = 2,
  WHERRY_INT32 = 3,
  WHERRY_UINT8 = 4,
  WHERRY_INT16 = 5,
  WHERRY_INT8 = 6,
  WHERRY_INT64 = 9,
  WHERRY_BOOL = 10,
  WHERRY_UINT16 = 17,
  WHERRY_FLOAT16 = 19,
  WHERRY_UINT32 = 22,
  WHERRY_UINT64 = 23
} wherry_dtype;

typedef struct wherry_model wherry_model;

/* Whether weights that are streamed may stay in the system's page cache, where the next run finds them. */
typedef enum wherry_page_cache {
  WHERRY_CACHE_AUTO = 0,  /* where twice their bytes are available */
  WHERRY_CACHE_USE = 1,
  WHERRY_CACHE_LEAVE = 2  /* they are read past it, unless they are there already */
} wherry_page_cache;

/* How fast a device is: what `build_configs/devices/` has of it, or what you measured. 0 stands for a guess. */
typedef struct wherry_device {
  int32_t cores;        /* that compute fast; threads beyond them do not count. 0: all */
  double float_macs;    /* multiply-accumulates of a core in a second, in floats */
  double integer_macs;  /* of 8-bit codes */
  double storage_bytes; /* that storage reads in a second */
} wherry_device;

/* As a memory budget: all weights stay in memory, whatever the pack was planned for. */
#define WHERRY_NO_LIMIT UINT64_MAX

typedef struct wherry_options {
  int32_t threads;        /* 0: one for each processor */
  uint64_t memory_budget; /* bytes that the model may hold: weights, tensors, tables. 0: what the pack was planned for, which
                             may be no limit. The library's code, stacks of threads and your inputs come on top. */
  wherry_page_cache page_cache;
  const wherry_device* device; /* which weights stay in memory is planned for it at first; runs measure for themselves then,
                                  and wherry_set_memory_budget plans with that. Null: guesses. Read during the call only. */
} wherry_options;

typedef struct wherry_tensor_info {
  const char* name;    /* as in the model's signature */
  wherry_dtype dtype;
  int32_t rank;
  const int64_t* dims; /* `rank` of them */
  size_t bytes;
} wherry_tensor_info;

typedef struct wherry_stats {
  double load_seconds;
  double inference_seconds; /* of the last run */
  double io_seconds;        /* of that, waiting for weights */
  uint64_t peak_bytes;      /* the most that the handle held at one time since its budget was set, weights included */
  uint64_t memory_needed;   /* the smallest budget that this pack runs in, with this number of threads; known after a
                               budget was refused too, and 0 after other failures to open */
  uint64_t runs;
  int32_t partitions;
  int32_t first_partition;  /* where the last run began: behind those that a checkpoint had */
  uint64_t streamed_bytes;  /* of weights that the budget does not hold: every run reads them again */
} wherry_stats;

/* Each opens a pack. `options` may be null. *model is set even when opening fails, so that wherry_message can be
 * asked (it is null where memory for it is short or an argument is null); close it whether or not opening succeeded. */
/* The message of a failure begins with the path. */
WHERRY_API wherry_status wherry_open_path(const char* path, const wherry_options* options, wherry_model** model);
/* The descriptor is duplicated. bytes 0 stands for the rest of the file; an Android asset has its own offset and
 * length inside the APK. */
WHERRY_API wherry_status wherry_open_descriptor(int descriptor, uint64_t offset, uint64_t bytes,
                                                const wherry_options* options, wherry_model** model);
/* The memory is borrowed until the model is closed. It should be aligned to 64. */
WHERRY_API wherry_status wherry_open_memory(const void* data, size_t bytes, const wherry_options* options,
                                            wherry_model** model);
/* Null is allowed. */
WHERRY_API void wherry_close(wherry_model* model);

/* What the last call that failed on this handle has to say; "" when none did. */
WHERRY_API const char* wherry_message(const wherry_model* model);

WHERRY_API int32_t wherry_input_count(const wherry_model* model);
WHERRY_API int32_t wherry_output_count(const wherry_model* model);
WHERRY_API wherry_status wherry_input_info(wherry_model* model, int32_t index, wherry_tensor_info* info);
WHERRY_API wherry_status wherry_output_info(wherry_model* model, int32_t index, wherry_tensor_info* info);

/* Lends an input until the next run has ended. `bytes` must be the input's size, `data` aligned for its type. NaN and
 * infinity pass through floats as they do in TensorFlow; codes of 8 or 16 bits have none, so a pack whose products are in
 * whole numbers answers with numbers that mean nothing: look for them before where they can occur. */
WHERRY_API wherry_status wherry_set_input(wherry_model* model, int32_t index, const void* data, size_t bytes);
WHERRY_API wherry_status wherry_run(wherry_model* model);
/* A view of an output of the last run, valid until the next run or wherry_close. */
WHERRY_API wherry_status wherry_output(wherry_model* model, int32_t index, const void** data, size_t* bytes);

/* Called on the running thread after each partition; a result other than 0 cancels the run. Null switches it off. */
typedef int (*wherry_progress)(void* user, int32_t partitions_done, int32_t partitions);
WHERRY_API wherry_status wherry_set_progress(wherry_model* model, wherry_progress progress, void* user);
/* Makes the run in progress return WHERRY_CANCELLED before its next step. */
WHERRY_API wherry_status wherry_cancel(wherry_model* model);

/* Plans again for another budget, between runs: which weights stay in memory, and how far the others are read ahead. 0: what
 * the pack was planned for. A budget below memory_needed is refused with WHERRY_BUDGET_TOO_SMALL, and the old one stays. */
WHERRY_API wherry_status wherry_set_memory_budget(wherry_model* model, uint64_t bytes);
/* Gives back the memory of all weights: at once, or during a run when the step that runs has ended; what is needed is
 * then read again. May come from any thread, such as the one that hears that memory is short. */
WHERRY_API wherry_status wherry_trim_memory(wherry_model* model);

typedef struct wherry_memory {
  uint64_t physical;    /* bytes of the machine; 0 where the system does not say */
  uint64_t available;   /* that can be taken now: below the limits of control groups on Linux and of the app on iOS too */
  uint64_t safe_budget; /* half of physical memory at most, and no more than is available. Never 0, which as a budget stands
                           for no limit: where nothing is left it is 1, and every pack is refused. */
} wherry_memory;
/* What a memory budget may be on this machine, now. On Android the system's own figures are better: see below. */
WHERRY_API wherry_memory wherry_get_memory(void);

/* What ActivityManager.MemoryInfo says; the app's Java or Kotlin passes it on. */
typedef struct wherry_android_memory {
  uint64_t total;     /* totalMem */
  uint64_t available; /* availMem */
  uint64_t threshold; /* of availMem, below which the system begins to kill */
  int32_t low;        /* lowMemory: 1 where it has begun */
} wherry_android_memory;
/* The same advice from these figures; asks nothing of the machine. What is available ends at the threshold. A null `info` is
 * taken for a machine that has nothing left. */
WHERRY_API wherry_memory wherry_memory_on_android(const wherry_android_memory* info);
/* For onTrimMemory(level): gives memory back as wherry_trim_memory does while the app runs and memory is low (10, 15), and
 * when it is in the background (40 and above); other levels change nothing. Where the budget should sink too, ask for advice
 * again and call wherry_set_memory_budget between runs. iOS has no levels: call wherry_trim_memory when
 * applicationDidReceiveMemoryWarning comes. May come from any thread. */
WHERRY_API wherry_status wherry_trim_on_android(wherry_model* model, int32_t level);

/* For systems that kill processes: from now on a run writes, at its beginning and after each partition, what is needed to
 * go on from there to a small file. A run of the same pack on the same inputs, by another process, takes up the file
 * at the next partition, to the same outputs bit for bit; where all had run, it has the outputs at once. A run after one
 * that ended well on this handle begins anew, as does one whose file is damaged or of another pack, of other inputs, of
 * another version of this library or of a processor with other instructions. The file is replaced at once, and never half
 * written; it lives until the next run or until you remove it, and holds values of the model: keep it where only the
 * app can read it. What is beside it with ".part" added to its name is Wherry's. A run that cannot write it fails with
 * WHERRY_IO. A file that is not a checkpoint is never replaced: its path is refused with WHERRY_INVALID_ARGUMENT. The path is
 * copied. Null switches it off. Not during a run. */
WHERRY_API wherry_status wherry_set_checkpoint(wherry_model* model, const char* path);

typedef enum wherry_checkpoint_kind {
  WHERRY_CHECKPOINT_NONE = 0,        /* no file, or one that a run would not take up */
  WHERRY_CHECKPOINT_INTERRUPTED = 1, /* the last run ended, or its process did, after partitions_done */
  WHERRY_CHECKPOINT_COMPLETED = 2
} wherry_checkpoint_kind;

typedef struct wherry_checkpoint {
  wherry_checkpoint_kind kind;
  int32_t partitions_done;
  int32_t partitions;
} wherry_checkpoint;
/* What the file of wherry_set_checkpoint says. Before inputs are set it may be of any inputs, afterwards of these only. Not
 * during a run. */
WHERRY_API wherry_status wherry_checkpoint_state(wherry_model* model, wherry_checkpoint* checkpoint);

WHERRY_API wherry_status wherry_get_stats(const wherry_model* model, wherry_stats* stats);
/* "0.1.0" */
WHERRY_API const char* wherry_version(void);

#ifdef __cplusplus
}
#endif

#endif /* WHERRY_WHERRY_H_ */
