// The ops and kernels of a TensorFlow source build with -DSELECTIVE_REGISTRATION -DSUPPORT_SELECTIVE_REGISTRATION.
// Made by wherry 0.1.0 from: net.pb.
// Do not edit: make it again with `wherry header --format tensorflow`.
//
// TensorFlow's registration macros ask SHOULD_REGISTER_OP with an op's name and SHOULD_REGISTER_OP_KERNEL with a kernel
// class as its source spells it, so blanks do not count when classes are compared.
#ifndef OPS_TO_REGISTER
#define OPS_TO_REGISTER

namespace wherry_selection {

constexpr const char* SkipBlanks(const char* text) {
  while (*text == ' ') ++text;
  return text;
}

constexpr bool SameButForBlanks(const char* a, const char* b) {
  for (a = SkipBlanks(a), b = SkipBlanks(b); *a != '\0' && *a == *b; a = SkipBlanks(a + 1), b = SkipBlanks(b + 1)) {
  }
  return *a == *b;
}

constexpr bool Contains(const char* const* names, const char* name) {
  for (; *names != nullptr; ++names) {
    if (SameButForBlanks(*names, name)) return true;
  }
  return false;
}

// Each list ends with a null.
constexpr const char* kOps[] = {
    "Add",
    "NoOp",
    "Relu",
    "_Recv",
    "_Send",
    nullptr,
};

constexpr const char* kKernelClasses[] = {
    "BinaryOp<CPUDevice, functor::add<float>>",
    "NoOp",
    "RecvOp",
    "ReluOp<CPUDevice, float>",
    "SendOp",
    nullptr,
};

}  // namespace wherry_selection

#define SHOULD_REGISTER_OP(op) (::wherry_selection::Contains(::wherry_selection::kOps, op))
#define SHOULD_REGISTER_OP_KERNEL(class_name) \
  (::wherry_selection::Contains(::wherry_selection::kKernelClasses, class_name))
#define SHOULD_REGISTER_OP_GRADIENT false

#endif  // OPS_TO_REGISTER
