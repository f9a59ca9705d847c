// ArgMax and ArgMin: the index of the largest or smallest element along one dimension, the first of equals. NaN never
// wins; where nothing does, the index is 0.
#include <limits>

#include "kernels/reduce/reduce.h"

namespace wherry::kernels {

namespace {

struct ArgParams {
  int64_t outer;
  int64_t length;
  int64_t inner;
};

Status PrepareArg(PrepareContext& context, DType in) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, in));
  const Tensor& input = context.input(0);
  const DType out = context.output(0).dtype;
  if (out != DType::kI32 && out != DType::kI64) {
    return context.Fail(Code::kCorrupt, "output 0 is neither of type i32 nor i64");
  }
  int axis = 0;
  WHERRY_RETURN_IF_ERROR(ReadAxis(context, 1, input.rank, &axis));
  int64_t dims[kMaxRank];
  size_t rank = 0;
  for (int d = 0; d < input.rank; ++d) {
    if (d != axis) dims[rank++] = input.dim(d);
  }
  WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 0, {dims, rank}));
  ArgParams& params = context.params<ArgParams>();
  params = {ProductOf(input, 0, axis), input.dim(axis), ProductOf(input, axis + 1, input.rank)};
  if (params.length == 0) return context.Fail(Code::kCorrupt, "dimension %d is empty", axis);
  return Status::Ok();
}

template <typename T>
struct Larger {
  static constexpr T kWorst =
      std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
  static bool Beats(T x, T best) { return x > best; }
};

template <typename T>
struct Smaller {
  static constexpr T kWorst =
      std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
  static bool Beats(T x, T best) { return x < best; }
};

template <typename T, typename Order>
Status RunArg(RunContext& context) {
  const ArgParams& params = context.params<ArgParams>();
  const T* in = context.input(0).as<const T>();
  const Tensor& output = context.output(0);
  const int64_t grain = 1 + 32768 / params.length;
  context.threads().ForRange(params.outer * params.inner, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const T* x = in + i / params.inner * params.length * params.inner + i % params.inner;
      T best = Order::kWorst;
      int64_t index = 0;
      for (int64_t k = 0; k < params.length; ++k) {
        if (Order::Beats(x[k * params.inner], best)) {
          best = x[k * params.inner];
          index = k;
        }
      }
      if (output.dtype == DType::kI32) {
        output.as<int32_t>()[i] = static_cast<int32_t>(index);
      } else {
        output.as<int64_t>()[i] = index;
      }
    }
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(ArgMax_f32)
WHERRY_PREPARE(ArgMax_f32) { return PrepareArg(context, kDTypeOf<float>); }
WHERRY_RUN(ArgMax_f32) { return RunArg<float, Larger<float>>(context); }
#endif

#if WHERRY_SELECTED(ArgMax_i32)
WHERRY_PREPARE(ArgMax_i32) { return PrepareArg(context, kDTypeOf<int32_t>); }
WHERRY_RUN(ArgMax_i32) { return RunArg<int32_t, Larger<int32_t>>(context); }
#endif

#if WHERRY_SELECTED(ArgMin_f32)
WHERRY_PREPARE(ArgMin_f32) { return PrepareArg(context, kDTypeOf<float>); }
WHERRY_RUN(ArgMin_f32) { return RunArg<float, Smaller<float>>(context); }
#endif

#if WHERRY_SELECTED(ArgMin_i32)
WHERRY_PREPARE(ArgMin_i32) { return PrepareArg(context, kDTypeOf<int32_t>); }
WHERRY_RUN(ArgMin_i32) { return RunArg<int32_t, Smaller<int32_t>>(context); }
#endif

}  // namespace wherry::kernels
