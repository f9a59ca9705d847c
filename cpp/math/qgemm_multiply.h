// The innermost part of products of 8-bit codes: sums of unsigned codes of A times signed codes of B, exact in int32.
//
// B lies in quads (Layout::kQuads in runtime/tensor.h): panels [ceil(k / 4)][16][4], so that four neighbouring k of one
// column are one 32-bit word. That is the operand of a dot-product instruction (VPDPBUSD, SDOT) and of AMX's tiles alike.
#ifndef WHERRY_MATH_QGEMM_MULTIPLY_H_
#define WHERRY_MATH_QGEMM_MULTIPLY_H_

#include <cstdint>

#include "math/isa.h"

namespace wherry::math {

inline constexpr int64_t kQuad = 4;           // neighbouring k in a word
inline constexpr int64_t kCodeColumns = 16;   // of a panel
inline constexpr int64_t kQuadBytes = kQuad * kCodeColumns;
inline constexpr int64_t kCodeRowBytes = 64;  // rows of A are padded with zeros to a multiple of this
inline constexpr int64_t kCodeBlockRows = 128;
inline constexpr int64_t kCodeBlockPanels = 4;
inline constexpr int64_t kCodeFewRows = 4;  // so few rows are multiplied by more panels at once
inline constexpr int64_t kCodeFewRowsPanels = 8;

// One call multiplies a block of rows by a few panels.
struct CodeBlock {
  const uint8_t* a = nullptr;  // [rows][a_stride]; bytes past 4 * groups, up to a multiple of kCodeRowBytes, are zeros
  int64_t a_stride = 0;        // bytes
  // Where A is an image that is read in place (math/code_image.h), else null: bytes from `a` to the first of each 16 rows,
  const int64_t* tiles = nullptr;
  const int32_t* steps = nullptr;  // and from a row's first code to those of each 64 k
  int64_t rows = 0;            // 1 .. kCodeBlockRows; A has rows up to a multiple of the multiplier's row_unit
  const int8_t* b = nullptr;   // panel p begins at b + p * panel_stride
  int64_t panel_stride = 0;    // bytes
  int64_t panels = 0;          // 1 .. kCodeBlockPanels, or kCodeFewRowsPanels when there are at most kCodeFewRows rows
  int64_t groups = 0;          // ceil(k / 4)
  int64_t prefetch = 0;        // bytes from these panels to those that follow, where B comes from memory; otherwise 0
  int32_t* sums = nullptr;     // out: [rows up to a multiple of row_unit][panels * 16], aligned to 64
};

// The block that a multiplier is best at, for so many rows and groups. What is left over may be smaller.
struct CodeBlockShape {
  int64_t rows = kCodeBlockRows;
  int64_t panels = 2;
};

struct CodeMultiplier {
  int64_t row_unit = 1;
  bool reads_images = false;  // takes CodeBlock::tiles; there is no rest of rows or of k then
  void (*begin)() = nullptr;  // called by a thread before its first multiply and after its last; null for nothing
  void (*end)() = nullptr;
  void (*multiply)(const CodeBlock& block) = nullptr;
  // far: panels of B that come from memory as they are multiplied, one after another. Null for the default.
  CodeBlockShape (*shape)(int64_t rows, int64_t groups, int64_t far) = nullptr;

  CodeBlockShape ShapeOf(int64_t held, int64_t groups, int64_t far) const {
    if (held <= kCodeFewRows) return {held, kCodeFewRowsPanels};
    return shape != nullptr ? shape(held, groups, far) : CodeBlockShape();
  }
};

// The fastest for this instruction set, and for products of so many rows. All give the same sums, as long as none of them leaves int32: k <= 65536 will do.
CodeMultiplier CodeMultiplierFor(Isa isa, int64_t rows);

// What the files for single instruction sets define.
void MultiplyCodesAvxVnni(const CodeBlock& block);
void MultiplyCodesAvx512Vnni(const CodeBlock& block);
void MultiplyCodesAmx(const CodeBlock& block);
CodeBlockShape ShapeForAmx(int64_t rows, int64_t groups, int64_t far);
void BeginAmx();
void EndAmx();
void MultiplyCodesNeon(const CodeBlock& block);
void MultiplyCodesDot(const CodeBlock& block);
void MultiplyCodesI8mm(const CodeBlock& block);

}  // namespace wherry::math

#endif  // WHERRY_MATH_QGEMM_MULTIPLY_H_
