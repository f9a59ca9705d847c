#include "math/vmath.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/vmath.cc"
#include "hwy/foreach_target.h"
#include "math/dispatch.h"
#include "math/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

void ExpRun(const float* in, float* out, int64_t count) {
  MapRun(in, out, count, [](MathVector x) HWY_ATTR { return Exp(x); });
}

void Expm1Run(const float* in, float* out, int64_t count) {
  MapRun(in, out, count, [](MathVector x) HWY_ATTR { return Expm1(x); });
}

void LogRun(const float* in, float* out, int64_t count) {
  MapRun(in, out, count, [](MathVector x) HWY_ATTR { return Log(x); });
}

void Log1pRun(const float* in, float* out, int64_t count) {
  MapRun(in, out, count, [](MathVector x) HWY_ATTR { return Log1p(x); });
}

void SoftplusRun(const float* in, float* out, int64_t count) {
  MapRun(in, out, count, [](MathVector x) HWY_ATTR { return Softplus(x); });
}

void SeluRun(const float* in, float* out, int64_t count) {
  MapRun(in, out, count, [](MathVector x) HWY_ATTR { return Selu(x); });
}

void ErfRun(const float* in, float* out, int64_t count) {
  MapRun(in, out, count, [](MathVector x) HWY_ATTR { return Erf(x); });
}

void ErfcRun(const float* in, float* out, int64_t count) {
  MapRun(in, out, count, [](MathVector x) HWY_ATTR { return Erfc(x); });
}

void ExpShiftedRun(const float* in, float shift, float* out, int64_t count) {
  const MathVector by = Constant(shift);
  MapRun(in, out, count, [=](MathVector x) HWY_ATTR { return Exp(hn::Sub(x, by)); });
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

FloatFunction ExpOfFloats(Isa isa) { return WHERRY_SELECT(isa, ExpRun); }
FloatFunction Expm1OfFloats(Isa isa) { return WHERRY_SELECT(isa, Expm1Run); }
FloatFunction LogOfFloats(Isa isa) { return WHERRY_SELECT(isa, LogRun); }
FloatFunction Log1pOfFloats(Isa isa) { return WHERRY_SELECT(isa, Log1pRun); }
FloatFunction SoftplusOfFloats(Isa isa) { return WHERRY_SELECT(isa, SoftplusRun); }
FloatFunction SeluOfFloats(Isa isa) { return WHERRY_SELECT(isa, SeluRun); }
FloatFunction ErfOfFloats(Isa isa) { return WHERRY_SELECT(isa, ErfRun); }
FloatFunction ErfcOfFloats(Isa isa) { return WHERRY_SELECT(isa, ErfcRun); }

void ExpOfShifted(const float* in, float shift, float* out, int64_t count, Isa isa) {
  WHERRY_SELECT(isa, ExpShiftedRun)(in, shift, out, count);
}

}  // namespace wherry::math
#endif  // HWY_ONCE
