#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char kUsage[] =
    "usage: wherry_run MODEL.wherry [options]\n"
    "\n"
    "  --input [NAME=]FILE.npy    an input; its name may be left out where there is one\n"
    "  --output [NAME=]FILE.npy   where an output goes\n"
    "  --output-dir DIR           where the outputs go that no --output names, as DIR/NAME.npy; made if need be\n"
    "  --threads N                how many compute; 0 is one for each processor (default 1)\n"
    "  --memory-budget SIZE       most bytes that the model may add: 64MB, 64MiB or 67108864\n"
    "  --page-cache auto|use|leave  whether streamed weights may stay in the system's page cache (default auto)\n"
    "  --checkpoint FILE          kept after each partition; if there is one of this run, it goes on from there\n"
    "  --repeat N                 runs N times\n"
    "  --json                     prints what was measured as JSON\n";

static int parse_count(const char* text, long low, long high, long* result) {
  char* end = NULL;
  errno = 0;
  *result = strtol(text, &end, 10);
  return end != text && *end == '\0' && errno == 0 && *result >= low && *result <= high ? 0 : -1;
}

static const char* skip_digits(const char* at) {
  while (isdigit((unsigned char)*at)) ++at;
  return at;
}

static const char* skip_blanks(const char* at) {
  while (isspace((unsigned char)*at)) ++at;
  return at;
}

/* Whether the text is this unit, in any case, and blanks. */
static int is_unit(const char* text, const char* unit) {
  while (*unit != '\0' && toupper((unsigned char)*text) == *unit) {
    ++text;
    ++unit;
  }
  return *unit == '\0' && *skip_blanks(text) == '\0';
}

/* The sizes that wherry.Executor takes too: "64MB" (10^6), "64 mib" (2^20), "1.5GB", "67108864"; not 0. */
static int parse_size(const char* text, uint64_t* bytes) {
  static const struct {
    const char* unit;
    double bytes;
  } kUnits[] = {{"", 1},     {"B", 1},      {"KB", 1e3},     {"MB", 1e6},
                {"GB", 1e9}, {"KIB", 1024}, {"MIB", 1048576}, {"GIB", 1073741824}};
  const char* number = skip_blanks(text);
  const char* end = skip_digits(number);
  if (end == number) return -1;
  if (*end == '.') {
    const char* fraction = end + 1;
    end = skip_digits(fraction);
    if (end == fraction) return -1;
  }
  const char* unit = skip_blanks(end);
  for (size_t i = 0; i < sizeof(kUnits) / sizeof(kUnits[0]); ++i) {
    if (!is_unit(unit, kUnits[i].unit)) continue;
    const double size = strtod(number, NULL) * kUnits[i].bytes;
    *bytes = size < 18446744073709551616.0 ? (uint64_t)size : UINT64_MAX;
    return *bytes > 0 ? 0 : -1;
  }
  return -1;
}

static int parse_page_cache(const char* text, wherry_page_cache* result) {
  static const struct {
    const char* name;
    wherry_page_cache value;
  } kValues[] = {{"auto", WHERRY_CACHE_AUTO}, {"use", WHERRY_CACHE_USE}, {"leave", WHERRY_CACHE_LEAVE}};
  for (size_t i = 0; i < sizeof(kValues) / sizeof(kValues[0]); ++i) {
    if (strcmp(text, kValues[i].name) != 0) continue;
    *result = kValues[i].value;
    return 0;
  }
  return -1;
}

static int add_file(char* text, named_file* files, int* count) {
  if (*count == kMaxFiles) return -1;
  char* equals = strchr(text, '=');
  named_file* file = &files[(*count)++];
  file->name = equals == NULL ? NULL : text;
  file->file = equals == NULL ? text : equals + 1;
  if (equals != NULL) *equals = '\0';
  return *file->file == '\0' ? -1 : 0;
}

static int parse_value(const char* option, char* value, options* result) {
  long number = 0;
  if (strcmp(option, "--input") == 0) return add_file(value, result->inputs, &result->num_inputs);
  if (strcmp(option, "--output") == 0) return add_file(value, result->outputs, &result->num_outputs);
  if (strcmp(option, "--memory-budget") == 0) return parse_size(value, &result->memory_budget);
  if (strcmp(option, "--page-cache") == 0) return parse_page_cache(value, &result->page_cache);
  if (strcmp(option, "--output-dir") == 0) {
    result->output_dir = value;
    return 0;
  }
  if (strcmp(option, "--checkpoint") == 0) {
    result->checkpoint = value;
    return 0;
  }
  if (strcmp(option, "--threads") == 0) {
    if (parse_count(value, 0, 1024, &number) != 0) return -1;
    result->threads = (int32_t)number;
    return 0;
  }
  if (parse_count(value, 1, 1000000, &number) != 0) return -1;
  result->repeat = (int)number;
  return 0;
}

int parse_options(int argc, char** argv, options* result, char* error, unsigned long error_size) {
  static const char* const kWithValue[] = {"--input",         "--output",     "--output-dir", "--threads",
                                           "--memory-budget", "--page-cache", "--checkpoint", "--repeat"};
  memset(result, 0, sizeof(*result));
  result->threads = 1;
  result->repeat = 1;
  for (int i = 1; i < argc; ++i) {
    char* word = argv[i];
    if (strncmp(word, "--", 2) != 0) {
      if (result->model != NULL) {
        (void)snprintf(error, error_size, "there is one model only, not also %s", word);
        return -1;
      }
      result->model = word;
      continue;
    }
    if (strcmp(word, "--json") == 0) {
      result->json = 1;
      continue;
    }
    if (strcmp(word, "--help") == 0) {
      result->help = 1;
      return 0;
    }
    int known = 0;
    for (size_t k = 0; k < sizeof(kWithValue) / sizeof(kWithValue[0]); ++k) known |= strcmp(word, kWithValue[k]) == 0;
    if (!known || i + 1 == argc) {
      (void)snprintf(error, error_size, known ? "%s needs a value" : "there is no option %s; see --help", word);
      return -1;
    }
    if (parse_value(word, argv[++i], result) != 0) {
      const char* way_out = strcmp(word, "--memory-budget") == 0
                                ? "write a number of bytes or of kB, MB, GB, KiB, MiB, GiB, such as 64MB, 1.5 GiB or 67108864"
                                : "see --help";
      (void)snprintf(error, error_size, "%s cannot be %s; %s", word, argv[i], way_out);
      return -1;
    }
  }
  if (result->model == NULL) {
    (void)snprintf(error, error_size, "name a pack; see --help");
    return -1;
  }
  return 0;
}
