// Range: start, start + delta, ... up to limit; as many as the output holds, which the three numbers must confirm.
#include <cmath>
#include <type_traits>

#include "kernels/select.h"
#include "kernels/shape.h"

namespace wherry::kernels {

namespace {

template <typename T>
Status PrepareRange(PrepareContext& context) {
  WHERRY_RETURN_IF_ERROR(context.ExpectCounts(3, 1));
  for (int i = 0; i < 3; ++i) {
    WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, i, kDTypeOf<T>));
    if (context.input(i).count() != 1) return context.Fail(Code::kCorrupt, "input %d is not one number", i);
  }
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, kDTypeOf<T>));
  if (context.output(0).rank != 1) return context.Fail(Code::kCorrupt, "the output is not a vector");
  return Status::Ok();
}

// Elements of the range; -1 when it has no end.
template <typename T>
int64_t RangeCount(T start, T limit, T delta) {
  if (delta == T{0}) return -1;
  if (delta > T{0} ? start >= limit : start <= limit) return 0;
  if constexpr (std::is_floating_point_v<T>) {
    const double span = static_cast<double>(limit) - static_cast<double>(start);
    const double count = std::ceil(std::abs(span / static_cast<double>(delta)));
    return count < 9.0e15 ? static_cast<int64_t>(count) : -1;
  } else {
    const uint64_t span = delta > 0 ? static_cast<uint64_t>(limit) - static_cast<uint64_t>(start)
                                    : static_cast<uint64_t>(start) - static_cast<uint64_t>(limit);
    const uint64_t step = delta > 0 ? static_cast<uint64_t>(delta) : uint64_t{0} - static_cast<uint64_t>(delta);
    return static_cast<int64_t>((span - 1) / step + 1);
  }
}

template <typename T>
Status RunRange(RunContext& context) {
  const T start = *context.input(0).as<const T>();
  const T limit = *context.input(1).as<const T>();
  const T delta = *context.input(2).as<const T>();
  const int64_t count = context.output(0).dim(0);
  if (RangeCount(start, limit, delta) != count) {
    return context.Fail(Code::kKernelFailed, "the range does not have the %lld elements that were planned",
                        static_cast<long long>(count));
  }
  T* out = context.output(0).as<T>();
  for (int64_t i = 0; i < count; ++i) {
    if constexpr (std::is_floating_point_v<T>) {
      out[i] = start + static_cast<T>(i) * delta;
    } else {
      using Unsigned = std::make_unsigned_t<T>;
      out[i] = static_cast<T>(static_cast<Unsigned>(start) + static_cast<Unsigned>(i) * static_cast<Unsigned>(delta));
    }
  }
  return Status::Ok();
}

}  // namespace

#if WHERRY_SELECTED(Range_f32)
WHERRY_PREPARE(Range_f32) { return PrepareRange<float>(context); }
WHERRY_RUN(Range_f32) { return RunRange<float>(context); }
#endif

#if WHERRY_SELECTED(Range_i32)
WHERRY_PREPARE(Range_i32) { return PrepareRange<int32_t>(context); }
WHERRY_RUN(Range_i32) { return RunRange<int32_t>(context); }
#endif

#if WHERRY_SELECTED(Range_i64)
WHERRY_PREPARE(Range_i64) { return PrepareRange<int64_t>(context); }
WHERRY_RUN(Range_i64) { return RunRange<int64_t>(context); }
#endif

}  // namespace wherry::kernels
