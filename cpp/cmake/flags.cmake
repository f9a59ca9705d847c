# How the runtime is compiled: no exceptions, no RTTI, no C++ runtime library at link time, every warning an error.
target_include_directories(wherry_objects PUBLIC ${PROJECT_SOURCE_DIR}/cpp ${PROJECT_SOURCE_DIR}/cpp/include)
target_include_directories(wherry_objects SYSTEM PUBLIC ${WHERRY_HIGHWAY_INCLUDE})
target_compile_options(wherry_objects PRIVATE
  -Wall -Wextra -Wconversion -Werror
  $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti -fno-threadsafe-statics>
  -fno-math-errno -ffunction-sections -fdata-sections -fstack-protector-strong
  # clang says so where a loop that may be vectorised (math/vectorize.h) calls the C library.
  $<$<CXX_COMPILER_ID:Clang,AppleClang>:-Wno-pass-failed>
  # Contraction would let the compiler decide where rounding happens; results must not depend on that.
  -ffp-contract=off)

# What several kernels of a file share may have no user when one of them alone is selected.
if(WHERRY_SELECTION_DIR)
  target_compile_options(wherry_objects PRIVATE -Wno-unused-function)
endif()

target_compile_definitions(wherry_objects PRIVATE WHERRY_VERSION="${PROJECT_VERSION}")
if(CMAKE_SIZEOF_VOID_P EQUAL 4)
  target_compile_definitions(wherry_objects PRIVATE _FILE_OFFSET_BITS=64)
endif()

# Instruction sets: those of WHERRY_ISAS that the architecture has.
set(known "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|i.86)$")
  set(known avx2 avx512 vnni fp16 amx)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(known dotprod fp16 i8mm)
endif()
set(isas "")
foreach(isa IN LISTS WHERRY_ISAS)
  if(isa IN_LIST known)
    list(APPEND isas ${isa})
  endif()
endforeach()

# Highway compiles math/ once for each that is not disabled here.
set(disabled "HWY_SSSE3|HWY_SSE4|HWY_AVX3_DL|HWY_AVX3_ZEN4|HWY_AVX3_SPR|HWY_AVX10_2")
string(APPEND disabled "|HWY_SVE|HWY_SVE2|HWY_SVE_256|HWY_SVE2_128|HWY_NEON_BF16|HWY_NEON")
if("avx2" IN_LIST isas)
  target_compile_definitions(wherry_objects PUBLIC WHERRY_ISA_AVX2=1)
else()
  string(APPEND disabled "|HWY_AVX2")
endif()
if("avx512" IN_LIST isas)
  target_compile_definitions(wherry_objects PUBLIC WHERRY_ISA_AVX512=1)
else()
  string(APPEND disabled "|HWY_AVX3")
endif()
target_compile_definitions(wherry_objects PUBLIC "HWY_DISABLED_TARGETS=(${disabled})")
# Its headers alone are used; what its assertions would call is in its library. They are on without optimisation and
# under sanitizers.
target_compile_definitions(wherry_objects PUBLIC HWY_IS_DEBUG_BUILD=0)

# Products of 8-bit codes and of halves have levels of their own, written in intrinsics: only those files are compiled for
# them. GCC before 12 has no AVX512-FP16.
include(CheckCXXCompilerFlag)
if("fp16" IN_LIST isas AND "avx512" IN_LIST isas)
  check_cxx_compiler_flag(-mavx512fp16 WHERRY_COMPILES_AVX512FP16)
endif()
if("vnni" IN_LIST isas)
  if("avx2" IN_LIST isas)
    target_compile_definitions(wherry_objects PUBLIC WHERRY_ISA_AVXVNNI=1)
  endif()
  if("avx512" IN_LIST isas)
    target_compile_definitions(wherry_objects PUBLIC WHERRY_ISA_AVX512VNNI=1)
    if("fp16" IN_LIST isas AND WHERRY_COMPILES_AVX512FP16)
      target_compile_definitions(wherry_objects PUBLIC WHERRY_ISA_AVX512FP16=1)
    endif()
    if("amx" IN_LIST isas)
      target_compile_definitions(wherry_objects PUBLIC WHERRY_ISA_AMX=1)
    endif()
  endif()
endif()
if("dotprod" IN_LIST isas)
  target_compile_definitions(wherry_objects PUBLIC WHERRY_ISA_DOTPROD=1)
endif()
if("fp16" IN_LIST isas AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  target_compile_definitions(wherry_objects PUBLIC WHERRY_ISA_FP16=1)
endif()
if("i8mm" IN_LIST isas)
  target_compile_definitions(wherry_objects PUBLIC WHERRY_ISA_I8MM=1)
endif()

if(WHERRY_SANITIZE)
  target_compile_options(wherry_objects PUBLIC -fsanitize=${WHERRY_SANITIZE} -fno-omit-frame-pointer -g)
  target_link_options(wherry_objects PUBLIC -fsanitize=${WHERRY_SANITIZE})
  add_link_options(-fsanitize=${WHERRY_SANITIZE})
endif()
