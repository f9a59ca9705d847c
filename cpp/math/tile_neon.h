// The inner loop of products on 64-bit ARM: a tile of 1 to 6 rows by 16 columns whose sums stay in registers. A multiply
// takes one lane of a vector of A, which holds four neighbouring lanes of a row, so that A costs a load for every 16
// multiplies and B one for every 6: 24 sums, 6 vectors of A and 2 of B fill the 32 registers. Halves have eight lanes, and
// two vectors to a row of 16 columns: tiles of up to 8 rows.
//
// Every instruction is a statement of volatile assembly, because their order is the point and compilers rearrange
// intrinsics (clang 22 then spills). Each register of B is loaded again right behind its last use, a row's worth of
// multiplies before its next one; the loads of A for the next step hide behind the last multiplies of this one. That
// keeps an in-order core (Cortex-A55) busy. Loads take their offset from a register: on that core such a load takes as
// long as a multiply, and so issues beside it. `make bench-arm` shows what llvm-mca makes of the loops.
#ifndef WHERRY_MATH_TILE_NEON_H_
#define WHERRY_MATH_TILE_NEON_H_

#if defined(__aarch64__)
#include <arm_neon.h>

#include <cstdint>
#include <utility>

// A function with instructions of an extension of the instruction set. gcc's assembler knows them from ARMv8.2 on.
#if defined(__clang__)
#define WHERRY_ARM_EXTENSION(name) __attribute__((target(name)))
#else
#define WHERRY_ARM_EXTENSION(name) __attribute__((target("arch=armv8.2-a+" name)))
#endif

namespace wherry::math {

// What a lane is and how it is multiplied: a float32 of one k, by float32 of 4 columns.
struct FloatLanes {
  using Vector = float32x4_t;
  template <int kLane>
  [[gnu::always_inline]] static void MultiplyAdd(Vector& sum, Vector b, Vector a) {
    asm volatile("fmla %0.4s, %1.4s, %2.s[%3]" : "+w"(sum) : "w"(b), "w"(a), "i"(kLane));
  }
};

// kRowBytes: from one row of A to the next. kStepBytes: from one step, which is 16 bytes of each row, to the next.
// kVectors: of a row of the tile.
template <typename Lanes, int kRows, int64_t kRowBytes, int64_t kStepBytes, int kVectors = 4>
class NeonTile {
 public:
  using Vector = typename Lanes::Vector;
  using Sums = Vector[kRows][kVectors];

  // sums += A x B over `steps` >= 1 steps. b: for each lane of a step kVectors vectors.
  [[gnu::always_inline]] static void Run(const void* a, const void* b, int64_t steps, Sums& sums) {
    asm volatile("" ::: "memory");  // what was stored to A and B is there
    NeonTile tile(static_cast<const char*>(a), static_cast<const char*>(b));
    do {
      --steps;
      tile.Step(steps > 0, sums, std::make_integer_sequence<int, kUnits>());
    } while (steps > 0);
  }

 private:
  static constexpr int kUnits = 16;                       // vectors of B in a step
  static constexpr int kAhead = kRows <= 5 ? 4 : 2;       // vectors of B that are loaded before they are used
  static constexpr bool kRowsLikeB = kRowBytes == 16;     // then rows of A need no offsets of their own

  [[gnu::always_inline]] NeonTile(const char* a, const char* b) : a_(a), b_(b), next_b_(b) {
    for (int i = 1; i < kUnits; ++i) b_offset_[i] = Opaque(i * 16);
    if constexpr (!kRowsLikeB) {
      for (int r = 1; r < kRows; ++r) a_offset_[r] = Opaque(r * kRowBytes);
    }
    for (int r = 0; r < kRows; ++r) row_[r] = LoadRow(a, r);
    for (int i = 0; i < kAhead; ++i) column_[i] = LoadColumn(b, i);
  }

  // A number that the compiler takes to be unknown, so that it stays in a register.
  [[gnu::always_inline]] static int64_t Opaque(int64_t value) {
    asm volatile("" : "+r"(value));
    return value;
  }

  [[gnu::always_inline]] static Vector Load(const char* base) {
    Vector loaded;
    asm volatile("ldr %q0, [%1, xzr]" : "=w"(loaded) : "r"(base));
    return loaded;
  }

  [[gnu::always_inline]] static Vector Load(const char* base, int64_t offset) {
    Vector loaded;
    asm volatile("ldr %q0, [%1, %2]" : "=w"(loaded) : "r"(base), "r"(offset));
    return loaded;
  }

  [[gnu::always_inline]] Vector LoadRow(const char* a, int row) const {
    return row == 0 ? Load(a) : Load(a, kRowsLikeB ? b_offset_[row] : a_offset_[row]);
  }

  [[gnu::always_inline]] Vector LoadColumn(const char* b, int unit) const {
    return unit == 0 ? Load(b) : Load(b, b_offset_[unit]);
  }

  template <int... kUnit>
  [[gnu::always_inline]] void Step(bool more, Sums& sums, std::integer_sequence<int, kUnit...>) {
    // The last step loads its own A and B again: what is behind them may not exist.
    a_ += more ? kStepBytes : 0;
    next_b_ = more ? b_ + kUnits * 16 : b_;
    (Unit<kUnit>(sums, std::make_integer_sequence<int, kRows>()), ...);
    b_ = next_b_;
  }

  // One vector of B times one lane of every row.
  template <int kUnit, int... kRow>
  [[gnu::always_inline]] void Unit(Sums& sums, std::integer_sequence<int, kRow...>) {
    (MultiplyRow<kUnit, kRow>(sums), ...);
    constexpr int kNext = kUnit + kAhead;
    column_[kUnit % kAhead] = kNext < kUnits ? LoadColumn(b_, kNext) : LoadColumn(next_b_, kNext - kUnits);
  }

  template <int kUnit, int kRow>
  [[gnu::always_inline]] void MultiplyRow(Sums& sums) {
    Lanes::template MultiplyAdd<kUnit / kVectors>(sums[kRow][kUnit % kVectors], column_[kUnit % kAhead], row_[kRow]);
    if constexpr (kUnit == kUnits - 1) row_[kRow] = LoadRow(a_, kRow);
  }

  const char* a_;       // of the step whose rows are loaded next
  const char* b_;       // of this step
  const char* next_b_;  // of the next
  int64_t b_offset_[kUnits];
  int64_t a_offset_[kRows];
  Vector row_[kRows];
  Vector column_[kAhead];
};

}  // namespace wherry::math

#endif  // __aarch64__
#endif  // WHERRY_MATH_TILE_NEON_H_
