// QLinearMean: the mean over height and width of an NHWC image of 8-bit codes (global average pooling), in codes of another
// scale. Its output is [batch, channels], or [batch, 1, 1, channels] with keep_dims.
#include "kernels/quantized/scales.h"
#include "kernels/select.h"
#include "math/code_pool.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(QLinearMean_u8)
namespace {

struct MeanParams {
  float factor;
  float offset;
};

}  // namespace

WHERRY_PREPARE(QLinearMean_u8) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(1, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kU8));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kU8));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(0, 4));
  const Tensor& image = context.input(0);
  const int64_t pixels = image.dim(1) * image.dim(2);
  if (pixels < 1) return context.Fail(Code::kCorrupt, "there is nothing to take the mean of");
  const int64_t kept[] = {image.dim(0), 1, 1, image.dim(3)};
  const int64_t dropped[] = {image.dim(0), image.dim(3)};
  WHERRY_RETURN_IF_ERROR(context.attrs().Bool("keep_dims", false) ? ExpectOutputShape(context, 0, {kept, 4})
                                                                  : ExpectOutputShape(context, 0, {dropped, 2}));
  math::CodeScale in, out;
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kInputScale, &in));
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kOutputScale, &out));
  const float ratio = in.scale / out.scale;
  context.params<MeanParams>() = {ratio / static_cast<float>(pixels),
                                  static_cast<float>(out.zero) - static_cast<float>(in.zero) * ratio};
  return Status::Ok();
}

WHERRY_RUN(QLinearMean_u8) {
  constexpr int64_t kPart = 128;  // channels: two cache lines of every pixel
  const MeanParams& params = context.params<MeanParams>();
  const Tensor& image = context.input(0);
  const int64_t pixels = image.dim(1) * image.dim(2);
  const int64_t channels = image.dim(3);
  const int64_t parts = (channels + kPart - 1) / kPart;
  const uint8_t* in = image.as<const uint8_t>();
  uint8_t* out = context.output(0).as<uint8_t>();
  context.threads().ForRange(image.dim(0) * parts, 1 + kCodeGrain / (pixels * kPart), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % parts * kPart;
      const int64_t count = channels - first < kPart ? channels - first : kPart;
      const uint8_t* const from = in + i / parts * pixels * channels + first;
      math::MeanCodes({from, 1, pixels, 0, channels, count}, params.factor, params.offset,
                      out + i / parts * channels + first, context.isa());
    }
  });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
