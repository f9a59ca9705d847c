// Tensors as kernels see them: a typed, shaped view of memory that somebody else owns.
#ifndef WHERRY_RUNTIME_TENSOR_H_
#define WHERRY_RUNTIME_TENSOR_H_

#include <cstdint>

#include "runtime/span.h"

namespace wherry {

// Element types, numbered as TensorFlow's DataType.
enum class DType : uint8_t {
  kInvalid = 0,
  kF32 = 1,
  kF64 = 2,
  kI32 = 3,
  kU8 = 4,
  kI16 = 5,
  kI8 = 6,
  kI64 = 9,
  kBool = 10,
  kU16 = 17,
  kF16 = 19,
  kU32 = 22,
  kU64 = 23,
};

// Bytes of one element; 0 for a type that the runtime does not have.
constexpr size_t SizeOf(DType type) {
  switch (type) {
    case DType::kF64:
    case DType::kI64:
    case DType::kU64:
      return 8;
    case DType::kF32:
    case DType::kI32:
    case DType::kU32:
      return 4;
    case DType::kU16:
    case DType::kI16:
    case DType::kF16:
      return 2;
    case DType::kU8:
    case DType::kI8:
    case DType::kBool:
      return 1;
    default:
      return 0;
  }
}

// "f32", "i8", ... as in kernel keys.
const char* ShortName(DType type);

// How the elements of a weight are stored.
enum class WeightFormat : uint8_t {
  kPlain = 0,    // elements of the tensor's dtype
  kFloat16 = 1,  // IEEE half, stands for float32
  kInt8 = 2,     // signed codes; value = scale[c] * code
  kMinMax = 3,   // unsigned codes of `bits` bits; value = offset[c] + scale[c] * code
  kInt16 = 4,    // signed codes in two planes of bytes; value = scale[c] * (255 * high + low)
  kFloat28 = 5,  // float32 without loss, of an LSTM: its rows of the state in groups of 28 bits (math/float28.h)
};

// In which order the elements of a weight lie.
enum class Layout : uint8_t {
  kRowMajor = 0,
  // A [K, N] matrix in panels of kPanelWidth columns: [ceil(N / 16)][K][16], the last panel padded with code 0.
  // Filters of convolutions count as [kh * kw * in, out].
  kPanels = 1,
  // The same with groups of four neighbouring k in front of the column, for products of 8-bit codes (math/qgemm.h):
  // [ceil(N / 16)][ceil(K / 4)][16][4], the last group and the last panel padded with code 0. Codes of 16 bits have two
  // such panels in the place of each, of high bytes and of low ones.
  kQuads = 2,
  // Filters of depthwise convolutions of 8-bit codes: groups of four rows of taps in front of the channel
  // (math/code_depthwise.h), padded with code 0.
  kTapQuads = 3,
};
inline constexpr int kPanelWidth = 16;

// Codes and what turns them back into float32.
// minmax codes of fewer than 8 bits, and of 9 to 15, are packed without gaps, least significant bit first, each
// group of 16 codes (a panel row, or 16 consecutive elements in row-major layout) starting on a byte: 2 * bits bytes.
struct Quantization {
  WeightFormat format = WeightFormat::kPlain;
  uint8_t bits = 0;            // minmax: 2 to 16; int8: 8; float16, int16: 16; float28: 28
  uint8_t axis = 0;            // the dimension that channels run along
  uint32_t split = 0;          // int8 in quads: rows that have sums of their own; else 0
  int64_t channels = 0;        // scale and offset have this many entries, padded with zeros to a multiple of 16
  const float* scale = nullptr;   // null for float16 and float28
  // minmax; in quads and tap quads the sum of each channel's codes, of int16 those of high bytes and, behind their padding,
  // those of low ones; with a split, behind the padding, the sums of each channel's first `split` codes; else null
  const float* offset = nullptr;
};

// Bytes of the two arrays.
constexpr uint64_t ScaleBytes(uint64_t channels) { return (channels + 15) / 16 * 16 * sizeof(float); }
constexpr uint64_t OffsetBytes(WeightFormat format, uint32_t split, uint64_t channels) {
  return (format == WeightFormat::kInt16 || split != 0 ? 2 : 1) * ScaleBytes(channels);
}

struct Tensor {
  void* data = nullptr;          // null in Prepare for everything but resident constants
  const int64_t* dims = nullptr;
  int32_t rank = 0;
  DType dtype = DType::kInvalid;  // of the values: kF32 for quantized weights
  Layout layout = Layout::kRowMajor;
  Quantization quant;
  uint64_t bytes = 0;            // of `data`, from the first element to the last; 0 for an output that nobody wants
  // Elements from one row (the last dimension) to the next: its length, or more where it is some columns of another
  // tensor's rows. Only kernels that say so (PrepareContext::AllowPitch) get such.
  int64_t pitch = 0;

  // Whether a kernel with optional outputs has to write this one. Known in Prepare already.
  bool wanted() const { return bytes != 0; }

  int64_t dim(int i) const { return dims[i]; }
  int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= dims[i];
    return n;
  }
  int64_t row_length() const { return rank == 0 ? 1 : dims[rank - 1]; }
  // Rows lie one behind the other.
  bool dense() const { return pitch == row_length(); }
  Span<const int64_t> shape() const { return {dims, static_cast<size_t>(rank)}; }
  bool SameShape(const Tensor& other) const {
    if (rank != other.rank) return false;
    for (int i = 0; i < rank; ++i) {
      if (dims[i] != other.dims[i]) return false;
    }
    return true;
  }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

}  // namespace wherry

#endif  // WHERRY_RUNTIME_TENSOR_H_
