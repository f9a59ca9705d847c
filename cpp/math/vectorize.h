// Tells the compiler what it cannot see: that a loop's iterations do not depend on each other.
#ifndef WHERRY_MATH_VECTORIZE_H_
#define WHERRY_MATH_VECTORIZE_H_

// In front of a loop that reads index i and writes index i only, so input and output may be the same memory but not
// overlap otherwise. Without it, the compiler's check for overlap sends loops that work in place the slow way.
#if defined(__clang__)
#define WHERRY_VECTORIZE _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define WHERRY_VECTORIZE _Pragma("GCC ivdep")
#else
#define WHERRY_VECTORIZE
#endif

#endif  // WHERRY_MATH_VECTORIZE_H_
