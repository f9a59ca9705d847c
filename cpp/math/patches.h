// Patches of an image as rows of a matrix: a convolution is the product of its patches and its filter. The patches are
// never all in memory; the product asks for a tile at a time.
#ifndef WHERRY_MATH_PATCHES_H_
#define WHERRY_MATH_PATCHES_H_

#include <cstdint>

#include "math/gemm.h"
#include "math/qgemm.h"
#include "math/window.h"

namespace wherry::math {

// Row (b * h.out + y) * w.out + x, column (ky * w.filter + kx) * channels + c is
// image[b, y * h.stride - h.before + ky * h.dilation, x * w.stride - w.before + kx * w.dilation, first_channel + c],
// or 0 outside the image. The image is [batch, h.in, w.in, pixel] with pixel >= channels floats.
struct Patches {
  const float* image = nullptr;
  int64_t pixel = 0;
  int64_t first_channel = 0;
  int64_t channels = 0;
  Window window;
};

// A CopyRows for this instruction set; its source is a Patches.
CopyRows PatchCopier(Isa isa);

// The same of an image of codes [batch, h.in, w.in, channels]: all its channels, and outside of it the code of 0.
struct CodePatches {
  Patches patches;  // but for `image`; pixel == channels
  const uint8_t* codes = nullptr;
  const uint8_t* low = nullptr;  // of codes of 16 bits, whose high bytes are `codes`: a patch then is two rows
  const CodeScale* scales = nullptr;  // of image b of the batch: scales[b * scale_step]
  int64_t scale_step = 1;
};

// For CodeRows::copy of math/qgemm.h; its source is a CodePatches.
CopyCodes CodePatchCopier(Isa isa);

}  // namespace wherry::math

#endif  // WHERRY_MATH_PATCHES_H_
