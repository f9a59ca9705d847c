// Attributes of a step, looked up by TensorFlow's names.
#ifndef WHERRY_RUNTIME_ATTRIBUTES_H_
#define WHERRY_RUNTIME_ATTRIBUTES_H_

#include "runtime/span.h"

namespace wherry {

enum class AttrKind : uint8_t { kInt = 0, kFloat = 1, kString = 2, kInts = 3 };  // bools and types are kInt

struct Attribute {
  StringView name;
  AttrKind kind = AttrKind::kInt;
  int64_t i = 0;
  double f = 0;
  StringView s;
  Span<const int64_t> ints;
};

class Attributes {
 public:
  Attributes() = default;
  explicit Attributes(Span<const Attribute> items) : items_(items) {}

  // Null when there is no such attribute, or it is of another kind.
  const Attribute* Find(const char* name, AttrKind kind) const {
    for (const Attribute& item : items_) {
      if (item.kind == kind && item.name == StringView(name)) return &item;
    }
    return nullptr;
  }
  int64_t Int(const char* name, int64_t fallback) const {
    const Attribute* a = Find(name, AttrKind::kInt);
    return a == nullptr ? fallback : a->i;
  }
  bool Bool(const char* name, bool fallback) const { return Int(name, fallback ? 1 : 0) != 0; }
  double Float(const char* name, double fallback) const {
    const Attribute* a = Find(name, AttrKind::kFloat);
    return a == nullptr ? fallback : a->f;
  }
  StringView String(const char* name, StringView fallback) const {
    const Attribute* a = Find(name, AttrKind::kString);
    return a == nullptr ? fallback : a->s;
  }
  // Empty when absent.
  Span<const int64_t> Ints(const char* name) const {
    const Attribute* a = Find(name, AttrKind::kInts);
    return a == nullptr ? Span<const int64_t>() : a->ints;
  }

 private:
  Span<const Attribute> items_;
};

}  // namespace wherry

#endif  // WHERRY_RUNTIME_ATTRIBUTES_H_
