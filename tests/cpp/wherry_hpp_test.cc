// Tests the C++ wrapper on a pack whose answer is known: wherry_hpp_test PACK INPUT.bin OUTPUT.bin
#include "wherry/wherry.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

static_assert(!std::is_copy_constructible_v<wherry::Model> && !std::is_copy_assignable_v<wherry::Model>);
static_assert(wherry::DTypeOf<float>() == WHERRY_FLOAT32 && wherry::DTypeOf<double>() == WHERRY_FLOAT64);
static_assert(wherry::DTypeOf<bool>() == WHERRY_BOOL && wherry::DTypeOf<std::int8_t>() == WHERRY_INT8);
static_assert(wherry::DTypeOf<std::uint16_t>() == WHERRY_UINT16 && wherry::DTypeOf<std::int32_t>() == WHERRY_INT32);
static_assert(wherry::DTypeOf<long long>() == WHERRY_INT64 && wherry::DTypeOf<std::uint64_t>() == WHERRY_UINT64);
static_assert(std::is_nothrow_move_constructible_v<wherry::Model>);

namespace {

int failures = 0;

void Check(bool holds, const char* what, int line) {
  if (holds) return;
  ++failures;
  std::printf("%s:%d: %s does not hold\n", __FILE__, line, what);
}
#define CHECK(condition) Check(condition, #condition, __LINE__)

struct Floats {
  float* data = nullptr;
  std::size_t count = 0;
  explicit Floats(const char* path) {
    std::FILE* file = std::fopen(path, "rb");
    if (file == nullptr) std::exit(2);
    std::fseek(file, 0, SEEK_END);
    count = static_cast<std::size_t>(std::ftell(file)) / sizeof(float);
    std::rewind(file);
    data = static_cast<float*>(std::malloc(count * sizeof(float)));
    if (std::fread(data, sizeof(float), count, file) != count) std::exit(2);
    std::fclose(file);
  }
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;
  ~Floats() { std::free(data); }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const Floats input(argv[2]);
  const Floats expected(argv[3]);
  wherry::Model model;
  CHECK(model.OpenPath("/nonexistent") == WHERRY_IO);
  CHECK(std::strncmp(model.message(), "/nonexistent: ", 14) == 0);
  wherry_options options = {};
  options.threads = 2;
  CHECK(model.OpenPath(argv[1], options) == WHERRY_OK);
  CHECK(model.num_inputs() == 1 && model.num_outputs() == 1);
  wherry_tensor_info info;
  CHECK(model.InputInfo(0, &info) == WHERRY_OK && info.bytes == input.count * sizeof(float));
  CHECK(model.OutputInfo(0, &info) == WHERRY_OK && info.bytes == expected.count * sizeof(float));
  CHECK(model.SetInput(0, input.data, input.count - 1) == WHERRY_SHAPE_MISMATCH);
  const std::int32_t* integers = nullptr;
  CHECK(model.SetInput(0, integers, input.count) == WHERRY_TYPE_MISMATCH);
  CHECK(std::strcmp(model.message(), "input 0 is float32, not int32") == 0);
  CHECK(model.SetInput(7, input.data, input.count) == WHERRY_UNKNOWN_NAME);
  CHECK(std::strstr(model.message(), "there is no input 7") != nullptr);

  wherry::Model moved(std::move(model));
  CHECK(model.handle() == nullptr && moved.handle() != nullptr);
  int calls = 0;
  auto progress = [&calls](std::int32_t, std::int32_t) { return ++calls < 0; };
  CHECK(moved.SetProgress(&progress) == WHERRY_OK);
  CHECK(moved.SetInput(0, input.data, input.count) == WHERRY_OK);
  CHECK(moved.Run() == WHERRY_OK);
  const float* output = nullptr;
  std::size_t count = 0;
  CHECK(moved.Output(0, &output, &count) == WHERRY_OK);
  CHECK(count == expected.count && std::memcmp(output, expected.data, count * sizeof(float)) == 0);
  std::size_t unchanged = 5;
  CHECK(moved.Output(0, &integers, &unchanged) == WHERRY_TYPE_MISMATCH && integers == nullptr && unchanged == 5);
  CHECK(std::strcmp(moved.message(), "output 0 is float32, not int32") == 0);
  wherry_stats stats;
  CHECK(moved.GetStats(&stats) == WHERRY_OK && stats.runs == 1 && stats.partitions == calls);

  wherry_checkpoint state;
  CHECK(moved.CheckpointState(&state) == WHERRY_WRONG_STATE);
  CHECK(moved.SetCheckpoint("/nonexistent/checkpoint") == WHERRY_OK);
  CHECK(moved.CheckpointState(&state) == WHERRY_OK && state.kind == WHERRY_CHECKPOINT_NONE);
  CHECK(moved.SetCheckpoint(nullptr) == WHERRY_OK);

  auto stop = [](std::int32_t, std::int32_t) { return true; };
  CHECK(moved.SetProgress(&stop) == WHERRY_OK);
  CHECK(moved.SetInput(0, input.data, input.count) == WHERRY_OK);
  CHECK(moved.Run() == WHERRY_CANCELLED);
  model = std::move(moved);
  CHECK(model.handle() != nullptr && moved.handle() == nullptr);
  std::printf("%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
