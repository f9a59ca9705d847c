// BiasAdd, float32: adds one value to each channel. Channels are the last dimension, or dimension 1 when data_format
// is NCHW.
#include "kernels/select.h"
#include "kernels/shape.h"
#include "math/binary.h"

namespace wherry::kernels {

#if WHERRY_SELECTED(BiasAdd_f32)
namespace {

struct BiasAddParams {
  int64_t outer = 0;
  int64_t channels = 0;
  int64_t inner = 0;  // consecutive elements with the same channel
};

constexpr int64_t kBiasAddGrain = 16384;  // elements that are worth a thread of their own

}  // namespace

WHERRY_PREPARE(BiasAdd_f32) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 1, DType::kF32));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(1, 1));
  const Tensor& in = context.input(0);
  if (in.rank < 2) return context.Fail(Code::kCorrupt, "input 0 must have rank 2 or more");
  if (!in.SameShape(context.output(0))) return context.Fail(Code::kCorrupt, "output and input differ in shape");
  const bool first = context.attrs().String("data_format", "NHWC") == StringView("NCHW");
  const int axis = first ? 1 : in.rank - 1;
  if (context.input(1).dim(0) != in.dim(axis)) {
    return context.Fail(Code::kCorrupt, "bias must have %lld values", static_cast<long long>(in.dim(axis)));
  }
  BiasAddParams params = {1, in.dim(axis), 1};
  for (int i = 0; i < axis; ++i) params.outer *= in.dim(i);
  for (int i = axis + 1; i < in.rank; ++i) params.inner *= in.dim(i);
  context.params<BiasAddParams>() = params;
  return Status::Ok();
}

// Works in place.
WHERRY_RUN(BiasAdd_f32) {
  const BiasAddParams& p = context.params<BiasAddParams>();
  const int64_t dims[] = {p.outer, p.channels, p.inner};
  const int64_t bias_dims[] = {p.channels, 1};
  const Span<const int64_t> shapes[] = {{dims, 3}, {bias_dims, 2}};
  math::Broadcast broadcast;
  if (!math::MakeBroadcast(shapes, 2, shapes[0], &broadcast)) return context.Fail(Code::kCorrupt, "shapes have changed");
  const void* in[] = {context.input(0).data, context.input(1).data};
  const size_t widths[] = {sizeof(float), sizeof(float)};
  void* out = context.output(0).data;
  const math::RowFunction add = math::BinaryRows<math::BinaryOp::kAdd, float>(context.isa());
  context.threads().ForRange(broadcast.count, kBiasAddGrain, [&](int64_t begin, int64_t end, int) {
    math::ForRows(broadcast, in, widths, out, sizeof(float), begin, end, add);
  });
  return Status::Ok();
}
#endif

}  // namespace wherry::kernels
