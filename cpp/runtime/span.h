// Views and the one owning array of the runtime. No operator new: the library links without a C++ runtime.
#ifndef WHERRY_RUNTIME_SPAN_H_
#define WHERRY_RUNTIME_SPAN_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>

namespace wherry {

// A borrowed run of elements.
template <typename T>
class Span {
 public:
  constexpr Span() = default;
  constexpr Span(T* data, size_t size) : data_(data), size_(size) {}
  template <size_t N>
  constexpr Span(T (&array)[N]) : data_(array), size_(N) {}
  operator Span<const T>() const { return {data_, size_}; }

  constexpr T* data() const { return data_; }
  constexpr size_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr T& operator[](size_t i) const { return data_[i]; }
  constexpr T* begin() const { return data_; }
  constexpr T* end() const { return data_ + size_; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

// A borrowed string, not NUL-terminated.
struct StringView {
  const char* data = "";
  size_t size = 0;

  StringView() = default;
  StringView(const char* text) : data(text), size(std::strlen(text)) {}
  StringView(const char* text, size_t length) : data(text), size(length) {}
  bool operator==(StringView other) const {
    return size == other.size && std::memcmp(data, other.data, size) == 0;
  }
};

// An owned array of trivial elements, zeroed on allocation. Allocate() returns false when memory is short.
template <typename T>
class Array {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  Array() = default;
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { std::free(data_); }

  [[nodiscard]] bool Allocate(size_t size) {
    std::free(data_);
    size_ = 0;
    data_ = static_cast<T*>(std::calloc(size == 0 ? 1 : size, sizeof(T)));
    if (data_ == nullptr) return false;
    size_ = size;
    return true;
  }

  T* data() const { return data_; }
  size_t size() const { return size_; }
  T& operator[](uint64_t i) const { return data_[static_cast<size_t>(i)]; }
  T* begin() const { return data_; }
  T* end() const { return data_ + size_; }
  Span<T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace wherry

#endif  // WHERRY_RUNTIME_SPAN_H_
