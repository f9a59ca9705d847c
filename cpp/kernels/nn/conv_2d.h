// What the forms of Conv2D share: the checks of its geometry, and its image as a matrix of patches.
#ifndef WHERRY_KERNELS_NN_CONV_2D_H_
#define WHERRY_KERNELS_NN_CONV_2D_H_

#include "kernels/nn/fused.h"
#include "kernels/nn/window.h"
#include "math/patches.h"
#include "runtime/kernel.h"

namespace wherry::kernels {

// Of an image [batch, in_h, in_w, channels] and a filter [kh, kw, channels / groups, outputs].
struct ConvShape {
  Window window;
  int64_t groups = 1;
  int64_t rows = 0;  // batch * out_h * out_w
  int64_t k = 0;     // kh * kw * channels / groups
  int64_t outputs = 0;       // of the filter
  int64_t first_output = 0;  // in the image that is written
};

// Checks the dimensions of the image (input 0), the filter (input 1) and output 0; types and layout are the caller's.
inline Status ReadConvDims(const PrepareContext& context, ConvShape* shape) {
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(1, 4));
  const Tensor& filter = context.input(1);
  WHERRY_RETURN_IF_ERROR(PlanWindow(context, filter.dim(0), filter.dim(1), &shape->window));
  const int64_t channels = context.input(0).dim(3);
  const int64_t depth = filter.dim(2);
  shape->outputs = filter.dim(3);
  if (depth < 1 || channels < 1 || channels % depth != 0) {
    return context.Fail(Code::kCorrupt, "channels of input and filter do not fit");
  }
  shape->groups = channels / depth;
  WHERRY_RETURN_IF_ERROR(ReadColumns(context, shape->outputs, &shape->first_output));
  if (shape->groups != 1 && shape->outputs != context.output(0).dim(3)) {
    return context.Fail(Code::kCorrupt, "a grouped filter cannot be cut");
  }
  if (shape->outputs % shape->groups != 0) {
    return context.Fail(Code::kCorrupt, "%lld outputs cannot be cut into %lld groups",
                        static_cast<long long>(shape->outputs), static_cast<long long>(shape->groups));
  }
  shape->k = filter.dim(0) * filter.dim(1) * depth;
  shape->rows = context.output(0).dim(0) * shape->window.h.out * shape->window.w.out;
  return Status::Ok();
}

// As ReadConvDims, of a float32 image and output; the filter's layout is the caller's to check.
inline Status ReadConvShape(const PrepareContext& context, ConvShape* shape) {
  WHERRY_RETURN_IF_ERROR(ExpectPlainInput(context, 0, DType::kF32));
  WHERRY_RETURN_IF_ERROR(context.ExpectInputRank(1, 4));
  WHERRY_RETURN_IF_ERROR(ExpectPlainOutput(context, 0, DType::kF32));
  return ReadConvDims(context, shape);
}

inline math::Patches PatchesOf(const Tensor& image, const Window& window, int64_t group, int64_t depth) {
  math::Patches patches;
  patches.image = image.as<const float>();
  patches.window = window;
  patches.pixel = image.pitch;
  patches.first_channel = group * depth;
  patches.channels = depth;
  return patches;
}

// A filter of one pixel, none of whose steps falls outside of the image.
inline bool HasOnePixel(const Window& window) {
  const auto one = [](const WindowAxis& axis) { return axis.filter == 1 && axis.before == 0 && axis.after == 0; };
  return one(window.h) && one(window.w);
}

// One that also visits every pixel: the image itself is the matrix of patches.
inline bool IsPointwise(const Window& window) {
  return HasOnePixel(window) && window.h.stride == 1 && window.w.stride == 1;
}

}  // namespace wherry::kernels

#endif  // WHERRY_KERNELS_NN_CONV_2D_H_
