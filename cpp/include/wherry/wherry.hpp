// A thin C++ wrapper over the C API: the handle is closed when its owner goes, nothing else is added.
//
// Header-only, C++17, uses no exceptions and nothing of the C++ runtime library. Calls return the C API's status;
// the rules of threads and lifetimes are those of wherry.h.
#ifndef WHERRY_WHERRY_HPP_
#define WHERRY_WHERRY_HPP_

#include <cstddef>
#include <cstdint>

#include "wherry/wherry.h"

namespace wherry {

// A pack, opened. Move-only.
class Model {
 public:
  Model() = default;
  ~Model() { Close(); }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  Model(Model&& other) noexcept : handle_(other.handle_) { other.handle_ = nullptr; }
  Model& operator=(Model&& other) noexcept {
    if (this != &other) {
      Close();
      handle_ = other.handle_;
      other.handle_ = nullptr;
    }
    return *this;
  }

  // Each closes what was open before.
  [[nodiscard]] wherry_status OpenPath(const char* path, const wherry_options& options = {}) {
    Close();
    return wherry_open_path(path, &options, &handle_);
  }
  [[nodiscard]] wherry_status OpenDescriptor(int descriptor, std::uint64_t offset, std::uint64_t bytes,
                                             const wherry_options& options = {}) {
    Close();
    return wherry_open_descriptor(descriptor, offset, bytes, &options, &handle_);
  }
  [[nodiscard]] wherry_status OpenMemory(const void* data, std::size_t bytes, const wherry_options& options = {}) {
    Close();
    return wherry_open_memory(data, bytes, &options, &handle_);
  }
  void Close() {
    wherry_close(handle_);
    handle_ = nullptr;
  }

  const char* message() const { return wherry_message(handle_); }
  std::int32_t num_inputs() const { return wherry_input_count(handle_); }
  std::int32_t num_outputs() const { return wherry_output_count(handle_); }
  [[nodiscard]] wherry_status InputInfo(std::int32_t index, wherry_tensor_info* info) {
    return wherry_input_info(handle_, index, info);
  }
  [[nodiscard]] wherry_status OutputInfo(std::int32_t index, wherry_tensor_info* info) {
    return wherry_output_info(handle_, index, info);
  }

  // Lends `count` elements as an input, until the next run has ended.
  template <typename T>
  [[nodiscard]] wherry_status SetInput(std::int32_t index, const T* data, std::size_t count) {
    return wherry_set_input(handle_, index, data, count * sizeof(T));
  }
  [[nodiscard]] wherry_status Run() { return wherry_run(handle_); }
  // A view of an output, valid until the next run or Close. WHERRY_TYPE_MISMATCH when it is not made of T's size.
  template <typename T>
  [[nodiscard]] wherry_status Output(std::int32_t index, const T** data, std::size_t* count) {
    const void* bytes_at = nullptr;
    std::size_t bytes = 0;
    const wherry_status status = wherry_output(handle_, index, &bytes_at, &bytes);
    if (status != WHERRY_OK) return status;
    if (bytes % sizeof(T) != 0) return WHERRY_TYPE_MISMATCH;
    *data = static_cast<const T*>(bytes_at);
    *count = bytes / sizeof(T);
    return WHERRY_OK;
  }

  // progress(partitions done, partitions) returns whether to go on; it must live until the run has ended.
  template <typename F>
  [[nodiscard]] wherry_status SetProgress(F* progress) {
    return wherry_set_progress(
        handle_, [](void* user, std::int32_t done, std::int32_t all) { return (*static_cast<F*>(user))(done, all) ? 0 : 1; },
        progress);
  }
  [[nodiscard]] wherry_status Cancel() { return wherry_cancel(handle_); }
  [[nodiscard]] wherry_status GetStats(wherry_stats* stats) const { return wherry_get_stats(handle_, stats); }
  wherry_model* handle() const { return handle_; }

 private:
  wherry_model* handle_ = nullptr;
};

}  // namespace wherry

#endif  // WHERRY_WHERRY_HPP_
