// The kernels of a slim build. Made by wherry 0.1.0 from: net.wherry, other model.keras.
// Do not edit: make it again with `wherry header`.
//
// kernels/select.h reads the macros; the table below is for people, and for the compiler to check.
#ifndef WHERRY_OPS_TO_REGISTER_H_
#define WHERRY_OPS_TO_REGISTER_H_

#define WHERRY_SELECT_Conv2D_f32_wi8 1
#define WHERRY_SELECT_Relu_f32 1
#define WHERRY_SELECT_Softmax_f32 1

namespace wherry::selection {

struct SelectedKernel {
  const char* key;
  long long count;         // steps that call it
  long long weight_bytes;  // that they read
};

// Sorted by key, ended by a null key.
inline constexpr SelectedKernel kSelectedKernels[] = {
    {"Conv2D_f32_wi8", 3, 1000},
    {"Relu_f32", 1, 0},
    {"Softmax_f32", 1, 24},
    {nullptr, 0, 0},
};
inline constexpr int kNumSelectedKernels = 3;

constexpr int CompareKeys(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return static_cast<unsigned char>(*a) - static_cast<unsigned char>(*b);
}

constexpr bool IsSelected(const char* key) {
  for (const SelectedKernel* kernel = kSelectedKernels; kernel->key != nullptr; ++kernel) {
    if (CompareKeys(kernel->key, key) == 0) return true;
  }
  return false;
}

constexpr bool SortedAndUnique() {
  for (int i = 1; i < kNumSelectedKernels; ++i) {
    if (CompareKeys(kSelectedKernels[i - 1].key, kSelectedKernels[i].key) >= 0) return false;
  }
  return true;
}

static_assert(sizeof(kSelectedKernels) / sizeof(kSelectedKernels[0]) == kNumSelectedKernels + 1);
static_assert(SortedAndUnique(), "a kernel is listed twice, or out of order");

}  // namespace wherry::selection

#endif  // WHERRY_OPS_TO_REGISTER_H_
