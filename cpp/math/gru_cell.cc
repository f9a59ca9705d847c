// GRU cells from the functions of vmath-inl.h.
#include "math/gru_cell.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "math/gru_cell.cc"
#include "hwy/foreach_target.h"
#include "math/dispatch.h"
#include "math/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

HWY_INLINE MathVector Mix(MathVector z, MathVector old, MathVector n) {
  return hn::MulAdd(z, old, hn::NegMulAdd(z, n, n));
}

void GruResetAfter(const GruUnits& units, const float* h_z, const float* h_r, const float* h_n, int64_t count) {
  MapVectors(count, [&](const auto& load, const auto& store) HWY_ATTR {
    const MathVector z = Sigmoid(hn::Add(load(units.x_z), load(h_z)));
    const MathVector r = Sigmoid(hn::Add(load(units.x_r), load(h_r)));
    const MathVector n = Tanh(hn::MulAdd(r, load(h_n), load(units.x_n)));
    store(Mix(z, load(units.old), n), units.h);
  });
}

void GruReset(const GruUnits& units, float* reset, int64_t count) {
  MapVectors(count, [&](const auto& load, const auto& store) HWY_ATTR {
    store(Sigmoid(load(units.x_z)), units.x_z);
    store(hn::Mul(Sigmoid(load(units.x_r)), load(units.old)), reset);
  });
}

void GruUpdate(const GruUnits& units, int64_t count) {
  MapVectors(count, [&](const auto& load, const auto& store) HWY_ATTR {
    store(Mix(load(units.x_z), load(units.old), Tanh(load(units.x_n))), units.h);
  });
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wherry::math {

void RunGruResetAfter(const GruUnits& units, const float* h_z, const float* h_r, const float* h_n, int64_t count,
                      Isa isa) {
  WHERRY_SELECT(isa, GruResetAfter)(units, h_z, h_r, h_n, count);
}

void RunGruReset(const GruUnits& units, float* reset, int64_t count, Isa isa) {
  WHERRY_SELECT(isa, GruReset)(units, reset, count);
}

void RunGruUpdate(const GruUnits& units, int64_t count, Isa isa) { WHERRY_SELECT(isa, GruUpdate)(units, count); }

}  // namespace wherry::math
#endif  // HWY_ONCE
