# The kernel sources of a slim build, below cpp/kernels. Made by wherry 0.1.0 from: net.wherry, other model.keras.
# Do not edit: make it again with `wherry header`.
set(WHERRY_KERNEL_SOURCES "")
list(APPEND WHERRY_KERNEL_SOURCES
  elementwise/relu.cc
  nn/conv_2d.cc
  nn/softmax.cc
)
