// Checks of types and shapes that many kernels share. Packs may be hostile: what passes here cannot be read or
// written out of bounds.
#ifndef WHERRY_KERNELS_SHAPE_H_
#define WHERRY_KERNELS_SHAPE_H_

#include "runtime/kernel.h"

namespace wherry::kernels {

// The most dimensions that elementwise, reduction and array kernels take.
inline constexpr int kMaxRank = 8;

// Half a precision's bits, as a type of its own.
struct Half {
  uint16_t bits;
};

template <typename T>
inline constexpr DType kDTypeOf = DType::kInvalid;
template <>
inline constexpr DType kDTypeOf<float> = DType::kF32;
template <>
inline constexpr DType kDTypeOf<double> = DType::kF64;
template <>
inline constexpr DType kDTypeOf<Half> = DType::kF16;
template <>
inline constexpr DType kDTypeOf<int8_t> = DType::kI8;
template <>
inline constexpr DType kDTypeOf<uint8_t> = DType::kU8;
template <>
inline constexpr DType kDTypeOf<int32_t> = DType::kI32;
template <>
inline constexpr DType kDTypeOf<int64_t> = DType::kI64;
template <>
inline constexpr DType kDTypeOf<bool> = DType::kBool;

// Elements of the tensor's own type, in row-major order: no codes, no panels.
inline bool IsPlain(const Tensor& tensor) {
  return tensor.quant.format == WeightFormat::kPlain && tensor.layout == Layout::kRowMajor;
}

inline Status ExpectPlainInput(const PrepareContext& context, int i, DType type) {
  WHERRY_RETURN_IF_ERROR(context.ExpectInputType(i, type));
  if (!IsPlain(context.input(i))) return context.Fail(Code::kCorrupt, "input %d must not be quantized", i);
  if (context.input(i).rank > kMaxRank) return context.Fail(Code::kCorrupt, "input %d has over 8 dimensions", i);
  return Status::Ok();
}

inline Status ExpectPlainOutput(const PrepareContext& context, int i, DType type) {
  WHERRY_RETURN_IF_ERROR(context.ExpectOutputType(i, type));
  if (context.output(i).rank > kMaxRank) return context.Fail(Code::kCorrupt, "output %d has over 8 dimensions", i);
  return Status::Ok();
}

// Any type whose elements have `width` bytes.
inline Status ExpectInputWidth(const PrepareContext& context, int i, size_t width) {
  if (i >= context.num_inputs()) return context.Fail(Code::kCorrupt, "input %d is missing", i);
  const Tensor& input = context.input(i);
  if (SizeOf(input.dtype) != width || !IsPlain(input)) {
    return context.Fail(Code::kCorrupt, "input %d does not have plain elements of %d bytes", i,
                        static_cast<int>(width));
  }
  if (input.rank > kMaxRank) return context.Fail(Code::kCorrupt, "input %d has over 8 dimensions", i);
  return Status::Ok();
}

inline Status ExpectOutputWidth(const PrepareContext& context, int i, size_t width) {
  if (i >= context.num_outputs()) return context.Fail(Code::kCorrupt, "output %d is missing", i);
  const Tensor& output = context.output(i);
  if (SizeOf(output.dtype) != width) {
    return context.Fail(Code::kCorrupt, "output %d does not have elements of %d bytes", i, static_cast<int>(width));
  }
  if (output.rank > kMaxRank) return context.Fail(Code::kCorrupt, "output %d has over 8 dimensions", i);
  return Status::Ok();
}

inline Status ExpectOutputShape(const PrepareContext& context, int i, Span<const int64_t> dims) {
  Tensor wanted;
  wanted.dims = dims.data();
  wanted.rank = static_cast<int32_t>(dims.size());
  if (!context.output(i).SameShape(wanted)) {
    return context.Fail(Code::kCorrupt, "output %d does not have the shape that follows from the inputs", i);
  }
  return Status::Ok();
}

// Product of dims [begin, end). The reader of packs has checked that a tensor's whole product does not overflow.
inline int64_t ProductOf(const Tensor& tensor, int begin, int end) {
  int64_t product = 1;
  for (int d = begin; d < end; ++d) product *= tensor.dim(d);
  return product;
}

// A resident constant of one value.
inline Status ReadInt(const PrepareContext& context, int i, int64_t* value) {
  size_t count = 0;
  WHERRY_RETURN_IF_ERROR(context.ReadInts(i, value, 1, &count));
  if (count != 1) return context.Fail(Code::kCorrupt, "input %d must be one number", i);
  return Status::Ok();
}

// Makes a negative axis count from the end and checks that it is below `rank`.
inline Status ResolveAxis(const PrepareContext& context, int64_t axis, int rank, int* resolved) {
  if (axis < -rank || axis >= rank) {
    return context.Fail(Code::kCorrupt, "axis %lld is outside of %d dimensions", static_cast<long long>(axis), rank);
  }
  *resolved = static_cast<int>(axis < 0 ? axis + rank : axis);
  return Status::Ok();
}

// An axis that is a resident constant.
inline Status ReadAxis(const PrepareContext& context, int i, int rank, int* axis) {
  int64_t value = 0;
  WHERRY_RETURN_IF_ERROR(ReadInt(context, i, &value));
  return ResolveAxis(context, value, rank, axis);
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_SHAPE_H_
