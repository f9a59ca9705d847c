// QLinearMul: the product of two tensors of 8-bit codes, each of a scale of its own. The second has the shape of the first,
// or is [batch, 1, .., 1, channels]: one factor for each channel of an image, as squeeze-and-excite multiplies.
#include "kernels/quantized/scales.h"
#include "kernels/select.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(QLinearMul_u8)
namespace {

// out[outer][rows][width] = a[outer][rows][width] * b[outer][width].
struct MulParams {
  math::CodeProduct product;
  int64_t outer;
  int64_t rows;
  int64_t width;
};

}  // namespace

WHERRY_PREPARE(QLinearMul_u8) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  for (int i = 0; i < 2; ++i) WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, i, DType::kU8));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kU8));
  const Tensor& a = context.input(0);
  const Tensor& b = context.input(1);
  WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 0, a.shape()));
  MulParams& params = context.params<MulParams>();
  params = {};
  if (b.SameShape(a)) {
    params.outer = params.rows = 1;
    params.width = a.count();
  } else {
    const int last = a.rank - 1;
    bool fits = a.rank >= 2 && b.rank == a.rank && b.dim(0) == a.dim(0) && b.dim(last) == a.dim(last);
    for (int d = 1; fits && d < last; ++d) fits = b.dim(d) == 1;
    if (!fits) return context.Fail(Code::kCorrupt, "input 1 must have the shape of input 0, or one value a channel");
    params.outer = a.dim(0);
    params.rows = ProductOf(a, 1, last);
    params.width = a.dim(last);
  }
  math::CodeScale scale_a, scale_b, out;
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kInputScale, &scale_a));
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kOtherScale, &scale_b));
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kOutputScale, &out));
  params.product = math::ProductOf(scale_a, scale_b, out);
  return Status::Ok();
}

WHERRY_RUN(QLinearMul_u8) {
  const MulParams& p = context.params<MulParams>();
  const uint8_t* a = context.input(0).as<const uint8_t>();
  const uint8_t* b = context.input(1).as<const uint8_t>();
  uint8_t* out = context.output(0).as<uint8_t>();
  if (p.rows == 1 && p.outer == 1) {
    context.threads().ForRange(p.width, kCodeGrain, [&](int64_t begin, int64_t end, int) {
      math::MultiplyCodes(a + begin, b + begin, end - begin, p.product, out + begin, context.isa());
    });
    return Status::Ok();
  }
  const int64_t grain = 1 + kCodeGrain / (p.width + 1);
  context.threads().ForRange(p.outer * p.rows, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      math::MultiplyCodes(a + row * p.width, b + row / p.rows * p.width, p.width, p.product, out + row * p.width,
                          context.isa());
    }
  });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
