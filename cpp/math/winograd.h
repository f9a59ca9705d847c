// Winograd convolution in float32: 3 x 3 filters at stride 1 and dilation 1, weights in panels of any format.
//
// Tiles of 2 x 2 or 4 x 4 outputs cost 16 or 36 products for each pair of channels instead of 36 or 144. The image is
// transformed once for a block of tiles, and the filter on the fly, for two panels and some channels at a time, into
// scratch memory that fits the second-level cache: the pack holds the filter as it is, and the transformed one never
// exists as a whole. Where there are few tiles the filter is transformed in registers instead. Bias, residual and
// activation are applied when a tile of the output is transformed back.
//
// Error. Every element is one fixed sequence of operations, so its bits depend only on the instruction set. With
// u = 2^-24 its error is at most c * u * (channels + 24) * S, where S is the sum over the channels of the largest pixel
// that the tile sees times the largest tap, and c is 64 for F(2, 3), 564 for F(4, 3): the product of the norms of the
// transforms. That is the worst case; with random signs the error is 0.8 times (F(2, 3)) and 1.7 times (F(4, 3)) that
// of the direct sum. An infinity or a NaN in the image spreads over the tiles that see it.
//
// A task multiplies the tiles of a block by some panels. Each thread transforms the image of a block for itself, so that
// no core waits for what another one wrote; within a block, image and tasks of a thread share its scratch memory.
//
// Use: plan once (in Prepare), then run all tasks, in any order and on any threads.
#ifndef WHERRY_MATH_WINOGRAD_H_
#define WHERRY_MATH_WINOGRAD_H_

#include <cstddef>
#include <cstdint>

#include "math/gemm.h"
#include "math/isa.h"
#include "math/panels.h"
#include "math/patches.h"

namespace wherry::math {

// Which algorithm, and how it is cut. Plain data: fits in a kernel's params.
struct WinogradPlan {
  int32_t tile = 0;  // outputs in each direction, 2 or 4; 0: the direct product is cheaper
  int32_t block_tiles = 0;     // tiles whose transformed image is in scratch memory at once
  int32_t block_channels = 0;  // channels whose transformed filter is; a multiple of 16
  int32_t column_parts = 1;    // tasks of a block
  Isa isa = Isa::kPortable;
  bool dequantizes = false;
  bool in_registers = false;  // the filter is transformed in registers, for few tiles
};

// An ungrouped convolution.
struct WinogradConv {
  Patches image;
  int64_t batch = 0;
  int64_t outputs = 0;  // of the filter
  int64_t layer = 0;    // outputs of the layer, of which these may be a part
  int64_t row = 0;      // values from one pixel of out to the next: the layer's outputs, or more
};

// Chooses by a model of the costs; tile is 0 also for convolutions that are not as above. The choice does not depend on
// the number of threads, and is the same for a part of a layer's outputs as for all. most_scratch: bytes for all threads
// together; blocks are made as small as that asks for, but not smaller than what is multiplied at once.
WinogradPlan PlanWinograd(const WinogradConv& conv, bool dequantizes, Isa isa, int threads, uint64_t most_scratch);

// What the plan knows of the inner loops.
struct WinogradTarget {
  int64_t lanes;
  int64_t strip_rows;      // tiles that are multiplied at once
  int64_t row_floats;      // kTileStride of tile-inl.h
  int64_t register_tiles;  // likewise in registers; 0 where there are too few of these
};
WinogradTarget FindWinogradTarget(Isa isa);

// In bytes, for each thread; aligned to 64.
size_t WinogradScratch(const WinogradPlan& plan, const WinogradConv& conv);
int64_t WinogradTiles(const WinogradPlan& plan, const WinogradConv& conv);
int64_t WinogradBlocks(const WinogradPlan& plan, const WinogradConv& conv);
// Neighbours are of the same block.
int64_t WinogradTasks(const WinogradPlan& plan, const WinogradConv& conv);

// out: [batch, h.out, w.out, row], of which the first `outputs` are written. The epilogue's residual may be out itself. in_scratch: the block whose image is in
// the scratch memory, -1 before the first task that uses it.
void RunWinogradTask(const WinogradPlan& plan, const WinogradConv& conv, const PanelMatrix& filter,
                     const Epilogue& epilogue, float* out, int64_t task, std::byte* scratch, int64_t* in_scratch);

}  // namespace wherry::math

#endif  // WHERRY_MATH_WINOGRAD_H_
