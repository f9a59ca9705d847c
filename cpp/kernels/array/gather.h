// What gathering from plain and from quantized tensors share: geometry, and a loop over indices that checks them.
#ifndef WHERRY_KERNELS_ARRAY_GATHER_H_
#define WHERRY_KERNELS_ARRAY_GATHER_H_

#include "kernels/array/copy.h"
#include "kernels/array/index.h"

namespace wherry::kernels {

// out[b, o, i, :] = params[b, o, indices[b, i], :]
struct GatherParams {
  int64_t batch;
  int64_t outer;
  int64_t dim;      // along the axis
  int64_t inner;    // elements of one slice
  int64_t indices;  // per batch
};

// Inputs: params, indices, and for GatherV2 the axis; attribute batch_dims. Does not check the type of params.
inline Status PrepareGather(PrepareContext& context) {
  if (context.num_inputs() != 2) WHERRY_RETURN_IF_ERROR(context.ExpectCounts(3, 1));
  if (context.num_outputs() != 1) return context.Fail(Code::kCorrupt, "needs exactly one output");
  WHERRY_RETURN_IF_ERROR(ExpectIndices(context, 1));
  const Tensor& from = context.input(0);
  const Tensor& indices = context.input(1);
  if (from.rank > kMaxRank) return context.Fail(Code::kCorrupt, "input 0 has over 8 dimensions");
  int axis = 0;
  if (context.num_inputs() == 3) {
    WHERRY_RETURN_IF_ERROR(ReadAxis(context, 2, from.rank, &axis));
  } else {
    WHERRY_RETURN_IF_ERROR(ResolveAxis(context, 0, from.rank, &axis));
  }
  int64_t batch_dims = context.attrs().Int("batch_dims", 0);
  if (batch_dims < 0) batch_dims += indices.rank;
  if (batch_dims < 0 || batch_dims > axis || batch_dims > indices.rank) {
    return context.Fail(Code::kCorrupt, "batch_dims is negative or over the axis");
  }
  const int batches = static_cast<int>(batch_dims);
  int64_t dims[2 * kMaxRank];
  size_t rank = 0;
  for (int d = 0; d < axis; ++d) {
    if (d < batches && from.dim(d) != indices.dim(d)) {
      return context.Fail(Code::kCorrupt, "batch dimension %d differs between params and indices", d);
    }
    dims[rank++] = from.dim(d);
  }
  for (int d = batches; d < indices.rank; ++d) dims[rank++] = indices.dim(d);
  for (int d = axis + 1; d < from.rank; ++d) dims[rank++] = from.dim(d);
  WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 0, {dims, rank}));
  context.params<GatherParams>() = {ProductOf(from, 0, batches), ProductOf(from, batches, axis), from.dim(axis),
                                    ProductOf(from, axis + 1, from.rank), ProductOf(indices, batches, indices.rank)};
  return Status::Ok();
}

// Calls copy(first element in params, first element in the output) for every slice.
template <typename Copy>
Status RunGather(RunContext& context, const Copy& copy) {
  const GatherParams& params = context.params<GatherParams>();
  const Tensor& indices = context.input(1);
  if (context.output(0).count() == 0) return Status::Ok();
  for (int64_t i = 0; i < params.batch * params.indices; ++i) {
    const int64_t index = IndexAt(indices, i);
    if (index < 0 || index >= params.dim) {
      return context.Fail(Code::kKernelFailed, "indices[%lld] = %lld is not in [0, %lld)", static_cast<long long>(i),
                          static_cast<long long>(index), static_cast<long long>(params.dim));
    }
  }
  const int64_t grain = 1 + kCopyGrainBytes / (params.inner * 4);
  context.threads().ForRange(params.batch * params.outer * params.indices, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t slice = begin; slice < end; ++slice) {
      const int64_t row = slice / params.indices;
      const int64_t i = row / params.outer * params.indices + slice % params.indices;
      copy((row * params.dim + IndexAt(indices, i)) * params.inner, slice * params.inner);
    }
  });
  return Status::Ok();
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_ARRAY_GATHER_H_
