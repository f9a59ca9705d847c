// Cumsum: running sums along a constant axis; attributes exclusive (without the element itself) and reverse.
// Integers wrap.
#include <type_traits>

#include "kernels/select.h"
#include "kernels/shape.h"

namespace wherry::kernels {

namespace {

struct CumsumParams {
  int64_t outer;
  int64_t length;
  int64_t inner;
  bool exclusive;
  bool reverse;
};

template <typename T>
Status PrepareCumsum(PrepareContext& context) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(2, 1));
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, kDTypeOf<T>));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, kDTypeOf<T>));
  const Tensor& input = context.input(0);
  WHERRY_RETURN_IF_ERROR(ExpectOutputShape(context, 0, input.shape()));
  int axis = 0;
  WHERRY_RETURN_IF_ERROR(ReadAxis(context, 1, input.rank, &axis));
  context.params<CumsumParams>() = {ProductOf(input, 0, axis), input.dim(axis),
                                    ProductOf(input, axis + 1, input.rank), context.attrs().Bool("exclusive", false),
                                    context.attrs().Bool("reverse", false)};
  return Status::Ok();
}

template <typename T>
T Plus(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    return x + y;
  } else {
    using Unsigned = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<Unsigned>(x) + static_cast<Unsigned>(y));
  }
}

template <typename T>
Status RunCumsum(RunContext& context) {
  const CumsumParams& params = context.params<CumsumParams>();
  const T* in = context.input(0).as<const T>();
  T* out = context.output(0).as<T>();
  const int64_t grain = 1 + 16384 / (params.length > 0 ? params.length : 1);
  context.threads().ForRange(params.outer * params.inner, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t base = line / params.inner * params.length * params.inner + line % params.inner;
      T sum{0};
      for (int64_t k = 0; k < params.length; ++k) {
        const int64_t at = base + (params.reverse ? params.length - 1 - k : k) * params.inner;
        const T x = in[at];
        const T with = Plus(sum, x);
        out[at] = params.exclusive ? sum : with;
        sum = with;
      }
    }
  });
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(Cumsum_f32)
WHERRY_PREPARE(Cumsum_f32) { return PrepareCumsum<float>(context); }
WHERRY_RUN(Cumsum_f32) { return RunCumsum<float>(context); }
#endif

#if WHERRY_SELECTED(Cumsum_i32)
WHERRY_PREPARE(Cumsum_i32) { return PrepareCumsum<int32_t>(context); }
WHERRY_RUN(Cumsum_i32) { return RunCumsum<int32_t>(context); }
#endif

}  // namespace wherry::kernels
