// A thin C++ wrapper over the C API: the handle is closed when its owner goes, and element types are checked.
//
// Header-only, C++17, uses no exceptions and nothing of the C++ runtime library. Calls return the C API's status;
// the rules of threads and lifetimes are those of wherry.h.
#ifndef WHERRY_WHERRY_HPP_
#define WHERRY_WHERRY_HPP_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>

#include "wherry/wherry.h"

namespace wherry {

// The data type whose elements are T; does not compile for a T that no tensor is made of.
template <typename T>
constexpr wherry_dtype DTypeOf() {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_integral_v<T>,
                "tensors hold float, double, bool and integers of 8 to 64 bits");
  if constexpr (std::is_same_v<T, float>) return WHERRY_FLOAT32;
  if constexpr (std::is_same_v<T, double>) return WHERRY_FLOAT64;
  if constexpr (std::is_same_v<T, bool>) return WHERRY_BOOL;
  constexpr bool kSigned = std::is_signed_v<T>;
  if constexpr (sizeof(T) == 1) return kSigned ? WHERRY_INT8 : WHERRY_UINT8;
  if constexpr (sizeof(T) == 2) return kSigned ? WHERRY_INT16 : WHERRY_UINT16;
  if constexpr (sizeof(T) == 4) return kSigned ? WHERRY_INT32 : WHERRY_UINT32;
  return kSigned ? WHERRY_INT64 : WHERRY_UINT64;
}

// "float32"
inline const char* NameOf(wherry_dtype dtype) {
  switch (dtype) {
    case WHERRY_FLOAT32: return "float32";
    case WHERRY_FLOAT64: return "float64";
    case WHERRY_INT32: return "int32";
    case WHERRY_UINT8: return "uint8";
    case WHERRY_INT16: return "int16";
    case WHERRY_INT8: return "int8";
    case WHERRY_INT64: return "int64";
    case WHERRY_BOOL: return "bool";
    case WHERRY_UINT16: return "uint16";
    case WHERRY_FLOAT16: return "float16";
    case WHERRY_UINT32: return "uint32";
    case WHERRY_UINT64: return "uint64";
  }
  return "of an unknown type";
}

// A pack, opened. Move-only.
class Model {
 public:
  Model() = default;
  ~Model() { Close(); }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  Model(Model&& other) noexcept { Take(other); }
  Model& operator=(Model&& other) noexcept {
    if (this != &other) {
      Close();
      Take(other);
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
    own_message_[0] = '\0';
  }

  // What the last call that failed has to say.
  const char* message() const { return own_message_[0] != '\0' ? own_message_ : wherry_message(handle_); }
  std::int32_t num_inputs() const { return wherry_input_count(handle_); }
  std::int32_t num_outputs() const { return wherry_output_count(handle_); }
  [[nodiscard]] wherry_status InputInfo(std::int32_t index, wherry_tensor_info* info) {
    return Said(wherry_input_info(handle_, index, info));
  }
  [[nodiscard]] wherry_status OutputInfo(std::int32_t index, wherry_tensor_info* info) {
    return Said(wherry_output_info(handle_, index, info));
  }

  // Lends `count` elements as an input, until the next run has ended. WHERRY_TYPE_MISMATCH when the input is not made
  // of T. The bits of float16 go as std::uint16_t.
  template <typename T>
  [[nodiscard]] wherry_status SetInput(std::int32_t index, const T* data, std::size_t count) {
    wherry_tensor_info info;
    const wherry_status status = InputInfo(index, &info);
    if (status != WHERRY_OK) return status;
    if (!Holds<T>(info.dtype)) return Mismatch("input", index, info.dtype, DTypeOf<T>());
    return Said(wherry_set_input(handle_, index, data, count * sizeof(T)));
  }
  [[nodiscard]] wherry_status Run() { return Said(wherry_run(handle_)); }
  // A view of an output, valid until the next run or Close. WHERRY_TYPE_MISMATCH when the output is not made of T. The
  // bits of float16 come as std::uint16_t.
  template <typename T>
  [[nodiscard]] wherry_status Output(std::int32_t index, const T** data, std::size_t* count) {
    const void* bytes_at = nullptr;
    std::size_t bytes = 0;
    wherry_status status = Said(wherry_output(handle_, index, &bytes_at, &bytes));
    if (status != WHERRY_OK) return status;
    wherry_tensor_info info;
    status = OutputInfo(index, &info);
    if (status != WHERRY_OK) return status;
    if (!Holds<T>(info.dtype)) return Mismatch("output", index, info.dtype, DTypeOf<T>());
    *data = static_cast<const T*>(bytes_at);
    *count = bytes / sizeof(T);
    return WHERRY_OK;
  }

  // progress(partitions done, partitions) cancels the run where it returns true; it must live until the run has ended.
  template <typename F>
  [[nodiscard]] wherry_status SetProgress(F* progress) {
    return Said(wherry_set_progress(
        handle_, [](void* user, std::int32_t done, std::int32_t all) { return (*static_cast<F*>(user))(done, all) ? 1 : 0; },
        progress));
  }
  // May come from any thread, and so touches nothing but the handle.
  [[nodiscard]] wherry_status Cancel() { return wherry_cancel(handle_); }
  // 0: what the pack was planned for; WHERRY_NO_LIMIT: none.
  [[nodiscard]] wherry_status SetMemoryBudget(std::uint64_t bytes) { return Said(wherry_set_memory_budget(handle_, bytes)); }
  // May come from any thread.
  [[nodiscard]] wherry_status TrimMemory() { return wherry_trim_memory(handle_); }
  // What Android's onTrimMemory(level) asks for; may come from any thread.
  [[nodiscard]] wherry_status TrimOnAndroid(std::int32_t level) { return wherry_trim_on_android(handle_, level); }
  // Null switches it off.
  [[nodiscard]] wherry_status SetCheckpoint(const char* path) { return Said(wherry_set_checkpoint(handle_, path)); }
  [[nodiscard]] wherry_status CheckpointState(wherry_checkpoint* checkpoint) {
    return Said(wherry_checkpoint_state(handle_, checkpoint));
  }
  [[nodiscard]] wherry_status GetStats(wherry_stats* stats) const { return wherry_get_stats(handle_, stats); }
  wherry_model* handle() const { return handle_; }

 private:
  template <typename T>
  static constexpr bool Holds(wherry_dtype dtype) {
    return dtype == DTypeOf<T>() || (dtype == WHERRY_FLOAT16 && DTypeOf<T>() == WHERRY_UINT16);
  }
  // A failure of the C API has a message there, which follows ours.
  wherry_status Said(wherry_status status) {
    if (status != WHERRY_OK) own_message_[0] = '\0';
    return status;
  }
  wherry_status Mismatch(const char* what, std::int32_t index, wherry_dtype dtype, wherry_dtype asked) {
    (void)std::snprintf(own_message_, sizeof(own_message_), "%s %d is %s, not %s", what, static_cast<int>(index),
                        NameOf(dtype), NameOf(asked));
    return WHERRY_TYPE_MISMATCH;
  }
  void Take(Model& other) {
    handle_ = other.handle_;
    std::memcpy(own_message_, other.own_message_, sizeof(own_message_));
    other.handle_ = nullptr;
    other.own_message_[0] = '\0';
  }

  wherry_model* handle_ = nullptr;
  char own_message_[80] = {};  // of a failure that the C API knows nothing of
};

}  // namespace wherry

#endif  // WHERRY_WHERRY_HPP_
