// QLinearAvgPool: the mean of every window of 8-bit codes, over the elements that are not padding, in codes of another
// scale.
#include "kernels/nn/pool.h"
#include "kernels/quantized/scales.h"
#include "math/code_pool.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(QLinearAvgPool_u8)
namespace {

struct AvgPoolParams {
  PoolParams pool;
  math::CodeScale in;
  math::CodeScale out;
};

}  // namespace

WHERRY_PREPARE(QLinearAvgPool_u8) {
  WHERRY_RETURN_IF_ERROR(PreparePool(context, DType::kU8));
  AvgPoolParams params;
  params.pool = context.params<PoolParams>();
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kInputScale, &params.in));
  WHERRY_RETURN_IF_ERROR(ReadScale(context, kOutputScale, &params.out));
  context.params<AvgPoolParams>() = params;
  return Status::Ok();
}

WHERRY_RUN(QLinearAvgPool_u8) {
  const AvgPoolParams& p = context.params<AvgPoolParams>();
  const float ratio = p.in.scale / p.out.scale;
  const float offset = static_cast<float>(p.out.zero) - static_cast<float>(p.in.zero) * ratio;
  ForWindows<uint8_t>(context, p.pool, kCodeGrain, [&](const math::CodeWindow& window, uint8_t* out) {
    const float factor = ratio / static_cast<float>(window.rows * window.columns);
    math::MeanCodes(window, factor, offset, out, context.isa());
  });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
