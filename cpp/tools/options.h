/* What wherry_run was asked to do. */
#ifndef WHERRY_TOOLS_OPTIONS_H_
#define WHERRY_TOOLS_OPTIONS_H_

#include <stdint.h>

#include "wherry/wherry.h"

enum { kMaxFiles = 256 };

/* name=file; name is null where only a file was given. */
typedef struct named_file {
  const char* name;
  const char* file;
} named_file;

typedef struct options {
  const char* model;
  const char* output_dir;
  named_file inputs[kMaxFiles];
  named_file outputs[kMaxFiles];
  int num_inputs, num_outputs;
  int32_t threads;
  uint64_t memory_budget;
  wherry_page_cache page_cache;
  const char* checkpoint;
  int repeat;
  int json;
  int help;
} options;

extern const char kUsage[];

/* Returns 0, or -1 with one line in `error`. Cuts name=file apart in place. */
int parse_options(int argc, char** argv, options* result, char* error, unsigned long error_size);

#endif /* WHERRY_TOOLS_OPTIONS_H_ */
