// Selective registration: turns a key's selection into code, at compile time.
//
// A slim build brings ops_to_register.h, rendered from ops_templates/, which defines WHERRY_SELECT_<key> as 1 for
// every kernel that its models need. A full build defines WHERRY_SELECT_ALL instead.
#ifndef WHERRY_KERNELS_SELECT_H_
#define WHERRY_KERNELS_SELECT_H_

#include "runtime/kernel.h"

#if !defined(WHERRY_SELECT_ALL)
#include "ops_to_register.h"
#endif

// 1 when the macro WHERRY_SELECT_<key> is defined as 1, else 0; usable in #if and in macros.
#define WHERRY_PLACEHOLDER_1 0,
#define WHERRY_SECOND(ignored, value, ...) value
#define WHERRY_IS_ONE(junk) WHERRY_SECOND(junk 1, 0, 0)
#define WHERRY_PASTE_PLACEHOLDER(value) WHERRY_IS_ONE(WHERRY_PLACEHOLDER_##value)
#define WHERRY_EXPAND_SELECT(value) WHERRY_PASTE_PLACEHOLDER(value)
#if defined(WHERRY_SELECT_ALL)
#define WHERRY_SELECTED(key) 1
#else
#define WHERRY_SELECTED(key) WHERRY_EXPAND_SELECT(WHERRY_SELECT_##key)
#endif

// Names of a kernel's two functions; both must be defined, in namespace wherry::kernels, under
// #if WHERRY_SELECTED(key).
#define WHERRY_PREPARE(key) ::wherry::Status Prepare_##key([[maybe_unused]] ::wherry::PrepareContext& context)
#define WHERRY_RUN(key) ::wherry::Status Run_##key([[maybe_unused]] ::wherry::RunContext& context)

// One line of a folder's table: nothing at all when the key is not selected.
#define WHERRY_ENTRY_0(key)
#define WHERRY_ENTRY_1(key) ::wherry::KernelEntry{#key, &Prepare_##key, &Run_##key},
#define WHERRY_PASTE_ENTRY(selected, key) WHERRY_ENTRY_##selected(key)
#define WHERRY_EXPAND_ENTRY(selected, key) WHERRY_PASTE_ENTRY(selected, key)
#define WHERRY_ENTRY(key) WHERRY_EXPAND_ENTRY(WHERRY_SELECTED(key), key)

#endif  // WHERRY_KERNELS_SELECT_H_
