// Patches of an image as rows of a matrix: a convolution is the product of its patches and its filter. The patches are
// never all in memory; the product asks for a tile at a time.
#ifndef WHERRY_MATH_PATCHES_H_
#define WHERRY_MATH_PATCHES_H_

#include <cstdint>

#include "math/gemm.h"
#include "math/qgemm.h"

namespace wherry::math {

// Row (b * out_h + y) * out_w + x, column (ky * filter_w + kx) * channels + c is
// image[b, y * stride_h - top + ky * dilation_h, x * stride_w - left + kx * dilation_w, first_channel + c],
// or 0 outside the image. The image is [batch, in_h, in_w, pixel] with pixel >= channels floats.
struct Patches {
  const float* image = nullptr;
  int64_t in_h = 0;
  int64_t in_w = 0;
  int64_t pixel = 0;
  int64_t first_channel = 0;
  int64_t channels = 0;
  int64_t out_h = 0;
  int64_t out_w = 0;
  int64_t filter_h = 1;
  int64_t filter_w = 1;
  int64_t stride_h = 1;
  int64_t stride_w = 1;
  int64_t dilation_h = 1;
  int64_t dilation_w = 1;
  int64_t top = 0;
  int64_t left = 0;
};

// A CopyRows for this instruction set; its source is a Patches.
CopyRows PatchCopier(Isa isa);

// The same of an image of codes [batch, in_h, in_w, channels]: all its channels, and outside of it the code of 0.
struct CodePatches {
  Patches patches;  // but for `image`; pixel == channels
  const uint8_t* codes = nullptr;
  const CodeScale* scales = nullptr;  // of image b of the batch: scales[b * scale_step]
  int64_t scale_step = 1;
};

// For CodeRows::copy of math/qgemm.h; its source is a CodePatches.
CopyCodes CodePatchCopier(Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_PATCHES_H_
