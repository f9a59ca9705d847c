// SelectV2 and Select: x where the condition is true, else y, elementwise. SelectV2 broadcasts all three inputs;
// Select takes a condition of x's shape, of one element, or a vector that picks along x's first dimension.
#include "kernels/elementwise/binary.h"

namespace wherry::kernels {

namespace {

// Shapes of the three inputs as MakeBroadcast wants them. Select's vector is given trailing dims of 1.
bool SelectBroadcast(const KernelContext& context, bool first_dim, math::Broadcast* broadcast) {
  int64_t rows[kMaxRank];
  Span<const int64_t> shapes[] = {context.input(0).shape(), context.input(1).shape(), context.input(2).shape()};
  if (first_dim) {
    for (int d = 0; d < context.input(1).rank; ++d) rows[d] = d == 0 ? context.input(0).dim(0) : 1;
    shapes[0] = {rows, static_cast<size_t>(context.input(1).rank)};
  }
  return math::MakeBroadcast(shapes, 3, context.output(0).shape(), broadcast);
}

// first_dim: a vector that is the condition runs along the first dimension of x (Select), not the last (SelectV2).
Status PrepareSelect(PrepareContext& context, size_t width, bool first_dim) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(3, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kBool));
  WHERRY_RETURN_IF_ERROR(ExpectInputWidth(context, 1, width));
  WHERRY_RETURN_IF_ERROR(ExpectInputWidth(context, 2, width));
  WHERRY_RETURN_IF_ERROR(ExpectOutputWidth(context, 0, width));
  context.params<bool>() = first_dim && context.input(0).rank == 1 && context.input(1).rank > 1;
  math::Broadcast broadcast;
  if (!SelectBroadcast(context, context.params<bool>(), &broadcast)) {
    return context.Fail(Code::kCorrupt, "the inputs do not broadcast to the output's shape");
  }
  return Status::Ok();
}

template <typename T>
void SelectRow(const void* const* in, const int64_t* step, void* out_row, int64_t n) {
  const bool* condition = static_cast<const bool*>(in[0]);
  const T* x = static_cast<const T*>(in[1]);
  const T* y = static_cast<const T*>(in[2]);
  T* out = static_cast<T*>(out_row);
  const int64_t condition_step = step[0];
  const int64_t x_step = step[1];
  const int64_t y_step = step[2];
  if (condition_step == 1 && x_step == 1 && y_step == 1) {
    for (int64_t i = 0; i < n; ++i) out[i] = condition[i] ? x[i] : y[i];
    return;
  }
  for (int64_t i = 0; i < n; ++i) out[i] = condition[i * condition_step] ? x[i * x_step] : y[i * y_step];
}

template <typename T>
Status RunSelect(RunContext& context) {
  math::Broadcast broadcast;
  if (!SelectBroadcast(context, context.params<bool>(), &broadcast)) {
    return context.Fail(Code::kCorrupt, "shapes have changed");
  }
  const void* in[] = {context.input(0).data, context.input(1).data, context.input(2).data};
  const size_t widths[] = {1, sizeof(T), sizeof(T)};
  void* out = context.output(0).data;
  context.threads().ForRange(broadcast.count, kElementwiseGrain, [&](int64_t begin, int64_t end, int) {
    math::ForRows(broadcast, in, widths, out, sizeof(T), begin, end, &SelectRow<T>);
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(Select_x8)
WHERRY_PREPARE(Select_x8) { return PrepareSelect(context, 1, true); }
WHERRY_RUN(Select_x8) { return RunSelect<uint8_t>(context); }
#endif

#if WHERRY_SELECTED(Select_x32)
WHERRY_PREPARE(Select_x32) { return PrepareSelect(context, 4, true); }
WHERRY_RUN(Select_x32) { return RunSelect<uint32_t>(context); }
#endif

#if WHERRY_SELECTED(Select_x64)
WHERRY_PREPARE(Select_x64) { return PrepareSelect(context, 8, true); }
WHERRY_RUN(Select_x64) { return RunSelect<uint64_t>(context); }
#endif

#if WHERRY_SELECTED(SelectV2_x8)
WHERRY_PREPARE(SelectV2_x8) { return PrepareSelect(context, 1, false); }
WHERRY_RUN(SelectV2_x8) { return RunSelect<uint8_t>(context); }
#endif

#if WHERRY_SELECTED(SelectV2_x32)
WHERRY_PREPARE(SelectV2_x32) { return PrepareSelect(context, 4, false); }
WHERRY_RUN(SelectV2_x32) { return RunSelect<uint32_t>(context); }
#endif

#if WHERRY_SELECTED(SelectV2_x64)
WHERRY_PREPARE(SelectV2_x64) { return PrepareSelect(context, 8, false); }
WHERRY_RUN(SelectV2_x64) { return RunSelect<uint64_t>(context); }
#endif

}  // namespace wherry::kernels
