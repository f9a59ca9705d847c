# The clang that the Python package ziglang carries, as a cross compiler. A target's own file sets WHERRY_ZIG_TARGET, and
# WHERRY_ZIG_CPU where zig would take another than the target's oldest, and includes this one. WHERRY_ZIG names the zig program; without it, Python is asked for the package.
if(NOT WHERRY_ZIG)
  find_program(WHERRY_PYTHON NAMES python3 python REQUIRED)
  execute_process(
    COMMAND ${WHERRY_PYTHON} -c "import ziglang, os; print(os.path.join(os.path.dirname(ziglang.__file__), 'zig'))"
    OUTPUT_VARIABLE WHERRY_ZIG OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT EXISTS "${WHERRY_ZIG}")
  message(FATAL_ERROR "zig was not found: pip install ziglang")
endif()
# try_compile reads this file again, in a project of its own.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES WHERRY_ZIG)

set(target_flags -target ${WHERRY_ZIG_TARGET})
if(WHERRY_ZIG_CPU)
  list(APPEND target_flags -mcpu=${WHERRY_ZIG_CPU})
endif()
set(CMAKE_C_COMPILER "${WHERRY_ZIG}" cc ${target_flags})
set(CMAKE_CXX_COMPILER "${WHERRY_ZIG}" c++ ${target_flags})

# A probe of CMake that links makes zig compile its libraries first, for a build without optimisation that nothing else
# needs: minutes. So probes only compile, the one that identifies the compiler too.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_C_COMPILER_ID_FLAGS_ALWAYS -c)
set(CMAKE_CXX_COMPILER_ID_FLAGS_ALWAYS -c)

# zig writes debug information unless told otherwise.
set(CMAKE_C_FLAGS_RELEASE_INIT "-g0")
set(CMAKE_CXX_FLAGS_RELEASE_INIT "-g0")
# zig's archiver is a subcommand, which CMAKE_AR cannot say.
foreach(language C CXX)
  set(CMAKE_${language}_ARCHIVE_CREATE "\"${WHERRY_ZIG}\" ar qc <TARGET> <OBJECTS>")
  set(CMAKE_${language}_ARCHIVE_APPEND "\"${WHERRY_ZIG}\" ar q <TARGET> <OBJECTS>")
  set(CMAKE_${language}_ARCHIVE_FINISH "\"${WHERRY_ZIG}\" ranlib <TARGET>")
endforeach()

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
