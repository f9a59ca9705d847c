// What kernels that compute with 8-bit codes share: the attributes that say what codes of a tensor stand for. Value =
// scale * (code - zero) with "<which>_scale" and "<which>_zero", where which is input, other (the second operand) or output.
#ifndef WHERRY_KERNELS_QUANTIZED_SCALES_H_
#define WHERRY_KERNELS_QUANTIZED_SCALES_H_

#include <cmath>

#include "kernels/shape.h"
#include "math/code_elementwise.h"
#include "math/quantize.h"

namespace wherry::kernels {

struct ScaleNames {
  const char* scale;
  const char* zero;
};
inline constexpr ScaleNames kInputScale = {"input_scale", "input_zero"};
inline constexpr ScaleNames kOtherScale = {"other_scale", "other_zero"};
inline constexpr ScaleNames kOutputScale = {"output_scale", "output_zero"};

inline Status ReadScale(const PrepareContext& context, const ScaleNames& names, math::CodeScale* scale) {
  const double value = context.attrs().Float(names.scale, 0.0);
  const int64_t zero = context.attrs().Int(names.zero, -1);
  // The range leaves products and quotients of two scales, and 255 times that, inside of float32.
  if (!(value >= 1e-15 && value <= 1e15) || zero < 0 || zero > 255) {
    return context.Fail(Code::kCorrupt, "attributes %s and %s say no scale", names.scale, names.zero);
  }
  *scale = {static_cast<float>(value), static_cast<int32_t>(zero)};
  return Status::Ok();
}

// The attribute "activation" of a kernel that writes codes: where it cuts them. "" cuts nowhere, Relu at 0, Relu6 at 6 too.
inline Status ReadLimits(const PrepareContext& context, math::CodeScale output, math::CodeLimits* limits) {
  const StringView name = context.attrs().String("activation", "");
  *limits = {};
  if (name == StringView("")) return Status::Ok();
  const bool six = name == StringView("Relu6");
  if (!six && !(name == StringView("Relu"))) {
    return context.Fail(Code::kCorrupt, "codes are not cut by an activation '%.*s'", static_cast<int>(name.size),
                        name.data);
  }
  limits->lowest = static_cast<uint8_t>(output.zero);
  const float highest = 6.0F / output.scale + static_cast<float>(output.zero);
  if (six && highest < 255.0F) limits->highest = static_cast<uint8_t>(highest + 0.5F);
  return Status::Ok();
}

// Codes that are worth a thread of their own.
inline constexpr int64_t kCodeGrain = 65536;

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_QUANTIZED_SCALES_H_
