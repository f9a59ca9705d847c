// Which convolutions Winograd's algorithms compute, and how they are cut: a model of the costs.
#include "math/winograd.h"

#include <algorithm>
#include <limits>

namespace wherry::math {
namespace {

// Scratch memory of a thread: of a block of tiles the transformed image, and the products with two panels; and the
// channels of a transformed filter. Smaller blocks transform the filter more often.
constexpr int64_t kImageFloats = 160 * 1024;
constexpr int64_t kProductFloats = 38 * 1024;
constexpr int64_t kMostChannels = 64;
// Where threads share the work each has all of that. With few channels images are large, and leave little room in the
// arena: 512 KiB for each thread, but no more than the image takes, and more in proportion above kManyChannels.
constexpr int64_t kThreadFloats = 128 * 1024;
constexpr int64_t kManyChannels = 128;

// In vector operations of a direct product, measured. Most of a transform is storing its results where the first-level
// cache does not have them yet, so the longer a vector is, the more of its operations that costs.
struct Costs {
  double image;   // of a vector of channels of a tile
  double filter;  // of a channel, for a vector of outputs
  double output;  // of a vector of outputs of a tile
};
constexpr double kRegisterFilter = 130;  // in registers, of a channel, for a vector of outputs and a strip

constexpr Costs CostsOf(int tile, int64_t lanes) {
  if (lanes == 16) return tile == 2 ? Costs{180, 160, 170} : Costs{500, 350, 400};
  return tile == 2 ? Costs{120, 90, 110} : Costs{330, 170, 270};
}

// Multiply-adds below which there is little to win.
constexpr double kLeastWork = 1e6;

int64_t Ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }

// False when a strip of tiles would not fit.
bool Cut(const WinogradConv& conv, const WinogradTarget& target, WinogradPlan* plan) {
  const int64_t channels = conv.image.channels;
  const int64_t points = int64_t{plan->tile + 2} * (plan->tile + 2);
  const int64_t blocks = Ceil(channels, kMostChannels);
  const int64_t block_channels = Ceil(Ceil(channels, blocks), kPanelColumns) * kPanelColumns;
  plan->block_channels = static_cast<int32_t>(block_channels);
  const int64_t tiles = WinogradTiles(*plan, conv);
  plan->in_registers =
      plan->tile == 4 && ((tiles > 1 && tiles <= target.register_tiles) || tiles == 2 * target.register_tiles);
  const int64_t runs = target.row_floats / block_channels;
  const int64_t rows = plan->in_registers ? Ceil(Ceil(channels, block_channels), runs) * points
                                          : Ceil(Ceil(channels, block_channels) * points, runs);
  const int64_t in_image = kImageFloats / (rows * target.row_floats);
  if (in_image < std::min(tiles, target.strip_rows)) return false;
  const int64_t most = std::min(in_image, kProductFloats / (points * 2 * kPanelColumns));
  plan->block_tiles = static_cast<int32_t>(Ceil(tiles, Ceil(tiles, most)));
  return true;
}

double DirectCost(const WinogradConv& conv, double channels, double vectors) {
  return static_cast<double>(conv.batch * conv.image.window.h.out * conv.image.window.w.out) * channels * 9 * vectors;
}

double WinogradCost(const WinogradPlan& plan, const WinogradConv& conv, const WinogradTarget& target, double channels,
                    double vectors) {
  const Costs costs = CostsOf(plan.tile, target.lanes);
  const double tiles = static_cast<double>(WinogradTiles(plan, conv));
  const double points = (plan.tile + 2) * (plan.tile + 2);
  const double filter = plan.in_registers ? kRegisterFilter * tiles / static_cast<double>(target.register_tiles)
                                          : costs.filter * static_cast<double>(WinogradBlocks(plan, conv));
  return (points * tiles + filter) * channels * vectors +
         tiles * (costs.image * channels / static_cast<double>(target.lanes) + costs.output * vectors);
}

// Makes blocks so small that scratch memory takes no more than so many floats for a thread.
void FitThread(const WinogradConv& conv, const WinogradTarget& target, int64_t floats, WinogradPlan* plan) {
  const int64_t channels = conv.image.channels;
  const int64_t points = int64_t{plan->tile + 2} * (plan->tile + 2);
  if (plan->in_registers) return;  // few tiles
  const int64_t rows = Ceil(Ceil(channels, plan->block_channels) * points, target.row_floats / plan->block_channels);
  const int64_t tile = rows * target.row_floats + points * 2 * kPanelColumns;
  const int64_t filter = 2 * 2 * kPanelColumns * 2 * (plan->tile + 2) * (plan->block_channels + 1);
  const int64_t taps = plan->dequantizes ? 2 * kPanelColumns * 9 * plan->block_channels : 0;
  const int64_t room = std::max<int64_t>(floats - filter - taps, 0);
  const int64_t tiles = WinogradTiles(*plan, conv);
  const int64_t most = std::min<int64_t>(plan->block_tiles, std::max(room / tile, std::min(tiles, target.strip_rows)));
  plan->block_tiles = static_cast<int32_t>(Ceil(tiles, Ceil(tiles, most)));
}

// What a thread may have.
int64_t ThreadFloats(const WinogradConv& conv) {
  const auto& [h, w] = conv.image.window;
  const int64_t channels = conv.image.channels;
  if (channels > kManyChannels) return kThreadFloats * channels / kManyChannels;
  return std::min(kThreadFloats, conv.batch * h.in * w.in * channels);
}

// Threads share the blocks of tiles, and the panels of a block; the fewer tasks, the less is transformed twice: the
// filter for each block, the image of a block by each thread that has some of its panels.
void Share(const WinogradConv& conv, const WinogradTarget& target, int threads, uint64_t most_scratch, WinogradPlan* plan) {
  // With few channels there are large images, and little room beside them: half as large a filter for each thread.
  if (plan->block_channels >= conv.image.channels) {
    plan->block_channels = static_cast<int32_t>(Ceil(Ceil(plan->block_channels, 2), kPanelColumns) * kPanelColumns);
  }
  const uint64_t most = most_scratch / static_cast<uint64_t>(threads);
  const int64_t usual = threads < 2 ? std::numeric_limits<int64_t>::max() : ThreadFloats(conv);
  const auto floats = static_cast<int64_t>(std::min(most / sizeof(float), static_cast<uint64_t>(usual)));
  FitThread(conv, target, floats, plan);
  while (!plan->in_registers && WinogradScratch(*plan, conv) > most && plan->block_channels > 2 * kPanelColumns) {
    plan->block_channels = static_cast<int32_t>(Ceil(plan->block_channels, 2 * kPanelColumns) * kPanelColumns);
    FitThread(conv, target, floats, plan);
  }
  if (threads < 2) return;
  const Costs costs = CostsOf(plan->tile, target.lanes);
  const int64_t tiles = WinogradTiles(*plan, conv);
  const int64_t panels = Ceil(conv.outputs, kPanelColumns);
  const int64_t units = plan->in_registers ? panels : Ceil(panels, 2);
  const int64_t least_blocks = WinogradBlocks(*plan, conv);
  const int64_t most_blocks = plan->in_registers ? least_blocks : Ceil(least_blocks, threads) * threads;
  const double points = (plan->tile + 2) * (plan->tile + 2);
  const double filter = plan->in_registers ? kRegisterFilter : costs.filter;
  const double panel_vectors = static_cast<double>(kPanelColumns / target.lanes * (plan->in_registers ? 1 : 2));
  const double image = costs.image / static_cast<double>(target.lanes);
  double shortest = std::numeric_limits<double>::infinity();
  int64_t best_tiles = plan->block_tiles;
  for (int64_t blocks = least_blocks; blocks <= most_blocks; ++blocks) {
    const int64_t block_tiles = Ceil(tiles, blocks);
    for (int64_t parts = 1; parts <= std::min<int64_t>(units, threads); ++parts) {
      const int64_t tasks = Ceil(blocks * parts, threads);  // of one thread
      const double products = (points * static_cast<double>(block_tiles) + filter) * panel_vectors *
                              static_cast<double>(Ceil(units, parts) * tasks);
      const double images = image * static_cast<double>(block_tiles * Ceil(tasks, parts));
      if (products + images >= shortest) continue;
      shortest = products + images;
      best_tiles = block_tiles;
      plan->column_parts = static_cast<int32_t>(parts);
    }
  }
  plan->block_tiles = static_cast<int32_t>(best_tiles);
  // Where each thread has one long part, whoever is done first takes half of another's.
  if (plan->column_parts > 1 && units >= 4 * plan->column_parts) plan->column_parts *= 2;
}

}  // namespace

int64_t WinogradTiles(const WinogradPlan& plan, const WinogradConv& conv) {
  return conv.batch * Ceil(conv.image.window.h.out, plan.tile) * Ceil(conv.image.window.w.out, plan.tile);
}

int64_t WinogradBlocks(const WinogradPlan& plan, const WinogradConv& conv) {
  return Ceil(WinogradTiles(plan, conv), plan.block_tiles);
}

WinogradPlan PlanWinograd(const WinogradConv& conv, bool dequantizes, Isa isa, int threads, uint64_t most_scratch) {
  WinogradPlan best;
  const Patches& image = conv.image;
  const auto& [h, w] = image.window;
  if (h.filter != 3 || w.filter != 3 || h.stride != 1 || w.stride != 1 || h.dilation != 1 || w.dilation != 1) {
    return best;
  }
  const WinogradTarget target = FindWinogradTarget(isa);
  const double channels = static_cast<double>(image.channels);
  const double vectors = static_cast<double>(Ceil(conv.layer, kPanelColumns) * kPanelColumns / target.lanes);
  double least = DirectCost(conv, channels, vectors);
  if (least * static_cast<double>(target.lanes) < kLeastWork) return best;
  for (int tile = 2; tile <= 4; tile += 2) {
    WinogradPlan plan;
    plan.tile = tile;
    plan.isa = isa;
    plan.dequantizes = dequantizes;
    if (!Cut(conv, target, &plan)) continue;
    const double cost = WinogradCost(plan, conv, target, channels, vectors);
    if (cost < least) {
      least = cost;
      best = plan;
    }
  }
  if (best.tile != 0) Share(conv, target, threads, most_scratch, &best);
  return best;
}

}  // namespace wherry::math
