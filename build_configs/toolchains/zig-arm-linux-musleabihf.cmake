# 32-bit ARM Linux with musl: ARMv7-A, floating-point arguments in registers (armhf), NEON with VFPv4, which is where
# Highway's NEON for 32 bits begins: Cortex-A5, A7, A12, A15, A17, Krait, and 64-bit cores in their 32-bit state.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7-a)
set(WHERRY_ZIG_TARGET arm-linux-musleabihf)
set(WHERRY_ZIG_CPU generic+v7a+neon+vfp4)
include(${CMAKE_CURRENT_LIST_DIR}/zig.cmake)
