#include "kernels/panels.h"

namespace wherry::kernels {
namespace {

constexpr int64_t kSizeLimit = int64_t{1} << 40;  // elements of a weight: no product below overflows

// Bytes of a panel's row; 0 when the bits do not fit the format.
int64_t RowBytes(WeightFormat format, int bits) {
  switch (format) {
    case WeightFormat::kPlain:
      return 64;
    case WeightFormat::kFloat16:
      return 32;
    case WeightFormat::kInt8:
      return 16;
    case WeightFormat::kInt16:
      return 32;
    case WeightFormat::kMinMax:
      return bits >= 2 && bits <= 16 ? math::PanelRowBytes(bits) : 0;
    case WeightFormat::kFloat28:
      return 0;  // of LSTMs only, which look at it themselves
  }
  return 0;
}

}  // namespace

Status CheckPanels(const PrepareContext& context, int i, WeightFormat format, int64_t k, int64_t n, Layout codes) {
  const Tensor& tensor = context.input(i);
  WHERRY_RETURN_IF_ERROR(context.ExpectInputType(i, DType::kF32));
  const Layout layout = format == WeightFormat::kInt8    ? codes
                        : format == WeightFormat::kInt16 ? Layout::kQuads
                                                         : Layout::kPanels;
  if (tensor.layout != layout || tensor.quant.format != format) {
    return context.Fail(Code::kCorrupt, "weight %d is not stored in panels of this kernel's format", i);
  }
  if (k < 0 || n < 0 || k >= kSizeLimit || n >= kSizeLimit || (k > 0 && n > kSizeLimit / k)) {
    return context.Fail(Code::kCorrupt, "weight %d has an impossible size", i);
  }
  const int64_t row_bytes = RowBytes(format, tensor.quant.bits);
  const int64_t panels = (n + math::kPanelColumns - 1) / math::kPanelColumns;
  const int64_t rows = layout == Layout::kQuads ? (k + 3) / 4 * 4 : k;
  if (row_bytes == 0 || tensor.bytes != static_cast<uint64_t>(panels * rows * row_bytes)) {
    return context.Fail(Code::kCorrupt, "weight %d does not have the bytes of its size and format", i);
  }
  if (format != WeightFormat::kPlain && format != WeightFormat::kFloat16 &&
      tensor.quant.channels != n) {  // the pack reader has seen that they are there
    return context.Fail(Code::kCorrupt, "weight %d lacks a scale or an offset for each column", i);
  }
  return Status::Ok();
}

}  // namespace wherry::kernels
