// StridedSlice: NumPy's x[begin:end:stride, ..., newaxis, i] with constant bounds. The masks (begin_mask, end_mask,
// ellipsis_mask, new_axis_mask, shrink_axis_mask) have bit i set for entry i of begin, end and strides.
#include "kernels/array/copy.h"

namespace wherry::kernels {

namespace {

constexpr int kMaxEntries = 16;

struct SliceSpec {
  int64_t begin[kMaxEntries];
  int64_t end[kMaxEntries];
  int64_t stride[kMaxEntries];
  int entries;
  int64_t begin_mask;
  int64_t end_mask;
  int64_t ellipsis_mask;
  int64_t new_axis_mask;
  int64_t shrink_axis_mask;
};

bool Has(int64_t mask, int i) { return (mask >> i & 1) != 0; }

Status ReadSpec(const PrepareContext& context, SliceSpec* spec) {
  size_t begins = 0;
  size_t ends = 0;
  size_t strides = 0;
  WHERRY_RETURN_IF_ERROR(context.ReadInts(1, spec->begin, kMaxEntries, &begins));
  WHERRY_RETURN_IF_ERROR(context.ReadInts(2, spec->end, kMaxEntries, &ends));
  WHERRY_RETURN_IF_ERROR(context.ReadInts(3, spec->stride, kMaxEntries, &strides));
  if (begins != ends || begins != strides) {
    return context.Fail(Code::kCorrupt, "begin, end and strides differ in length");
  }
  spec->entries = static_cast<int>(begins);
  spec->begin_mask = context.attrs().Int("begin_mask", 0);
  spec->end_mask = context.attrs().Int("end_mask", 0);
  spec->ellipsis_mask = context.attrs().Int("ellipsis_mask", 0);
  spec->new_axis_mask = context.attrs().Int("new_axis_mask", 0);
  spec->shrink_axis_mask = context.attrs().Int("shrink_axis_mask", 0);
  return Status::Ok();
}

int64_t Clamp(int64_t value, int64_t low, int64_t high) { return value < low ? low : (value > high ? high : value); }

// Elements that begin:end:stride takes of a dimension; begin becomes the first of them.
int64_t CountOf(const SliceSpec& spec, int i, int64_t dim, int64_t* begin) {
  const int64_t stride = spec.stride[i];
  const int64_t low = stride > 0 ? 0 : -1;
  const int64_t high = stride > 0 ? dim : dim - 1;
  const int64_t from = spec.begin[i] < 0 ? spec.begin[i] + dim : spec.begin[i];
  const int64_t to = spec.end[i] < 0 ? spec.end[i] + dim : spec.end[i];
  *begin = Has(spec.begin_mask, i) ? (stride > 0 ? 0 : dim - 1) : Clamp(from, low, high);
  const int64_t end = Has(spec.end_mask, i) ? (stride > 0 ? dim : -1) : Clamp(to, low, high);
  const int64_t length = end - *begin;
  if (length == 0 || (length < 0) != (stride < 0)) return 0;
  return length / stride + (length % stride != 0 ? 1 : 0);
}

Status PrepareStridedSlice(PrepareContext& context, size_t width) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(4, 1));
  WHERRY_RETURN_IF_ERROR(ExpectSameElements(context, 0, 0, width));
  const Tensor& input = context.input(0);
  SliceSpec spec;
  WHERRY_RETURN_IF_ERROR(ReadSpec(context, &spec));
  int named = 0;  // dims of the input that entries after an ellipsis stand for
  bool ellipsis = false;
  for (int i = 0; i < spec.entries; ++i) {
    if (Has(spec.ellipsis_mask, i)) {
      if (ellipsis) return context.Fail(Code::kCorrupt, "there are two ellipses");
      ellipsis = true;
    } else if (!Has(spec.new_axis_mask, i)) {
      ++named;
    }
  }
  if (named > input.rank) return context.Fail(Code::kCorrupt, "more dims are sliced than there are");

  int64_t in_strides[kMaxRank];
  RowMajorStrides(input, in_strides);
  // Of each output dimension: its size and what a step along it means in the input.
  int64_t dims[kMaxRank + kMaxEntries];
  int64_t steps[kMaxRank + kMaxEntries];
  int rank = 0;
  int64_t base = 0;
  int d = 0;
  for (int i = 0; i <= spec.entries; ++i) {
    const bool fills = i == spec.entries || Has(spec.ellipsis_mask, i);
    if (fills) {
      const int stop = i == spec.entries ? input.rank : d + input.rank - named;
      for (; d < stop; ++d) {
        dims[rank] = input.dim(d);
        steps[rank++] = in_strides[d];
      }
    } else if (Has(spec.new_axis_mask, i)) {
      dims[rank] = 1;
      steps[rank++] = 0;
    } else if (Has(spec.shrink_axis_mask, i)) {
      const int64_t dim = input.dim(d);
      const int64_t index = spec.begin[i] < 0 ? spec.begin[i] + dim : spec.begin[i];
      if (index < 0 || index >= dim) {
        return context.Fail(Code::kCorrupt, "index %lld lies outside of dimension %d",
                            static_cast<long long>(spec.begin[i]), d);
      }
      base += index * in_strides[d++];
    } else {
      if (spec.stride[i] == 0) return context.Fail(Code::kCorrupt, "stride %d is 0", i);
      int64_t begin = 0;
      const int64_t count = CountOf(spec, i, input.dim(d), &begin);
      dims[rank] = count;
      steps[rank++] = count > 1 ? spec.stride[i] * in_strides[d] : 0;
      if (count > 0) base += begin * in_strides[d];
      ++d;
    }
  }
  WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 0, {dims, static_cast<size_t>(rank)}));
  int64_t out_strides[kMaxRank];
  RowMajorStrides(context.output(0), out_strides);
  math::CopyPlanner planner;
  for (int k = 0; k < rank; ++k) planner.Loop(dims[k], steps[k], out_strides[k]);
  planner.Base(base, 0);
  return KeepPlan(context, planner);
}

}  // namespace

#if WHERRY_SELECTED(StridedSlice_x8)
WHERRY_PREPARE(StridedSlice_x8) { return PrepareStridedSlice(context, 1); }
WHERRY_RUN(StridedSlice_x8) { return RunKeptPlan(context, 1); }
#endif

#if WHERRY_SELECTED(StridedSlice_x32)
WHERRY_PREPARE(StridedSlice_x32) { return PrepareStridedSlice(context, 4); }
WHERRY_RUN(StridedSlice_x32) { return RunKeptPlan(context, 4); }
#endif

#if WHERRY_SELECTED(StridedSlice_x64)
WHERRY_PREPARE(StridedSlice_x64) { return PrepareStridedSlice(context, 8); }
WHERRY_RUN(StridedSlice_x64) { return RunKeptPlan(context, 8); }
#endif

}  // namespace wherry::kernels
