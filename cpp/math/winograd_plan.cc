// Which convolutions Winograd's algorithms compute, and how they are cut: a model of the costs.
#include "math/winograd.h"

#include <algorithm>
#include <limits>

namespace wherry::math {
namespace {

// Scratch memory: of a block of tiles the transformed image, and the products with two panels, of which each thread has
// its own; and the channels of a transformed filter. Smaller blocks transform the filter more often.
constexpr int64_t kImageFloats = 160 * 1024;
constexpr int64_t kProductFloats = 32 * 1024;
constexpr int64_t kMostChannels = 64;

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
  return static_cast<double>(conv.batch * conv.image.out_h * conv.image.out_w) * channels * 9 * vectors;
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

// Threads share the panels, and where these are few or do not come out even, the strips too; each part transforms the
// filter itself.
void Share(const WinogradConv& conv, const WinogradTarget& target, int threads, WinogradPlan* plan) {
  plan->threads = threads;
  const int64_t panels = Ceil(conv.outputs, kPanelColumns);
  // With few channels there are large images, and little room beside them: half as large a filter for each thread.
  if (plan->block_channels >= conv.image.channels) {
    plan->block_channels = static_cast<int32_t>(Ceil(Ceil(plan->block_channels, 2), kPanelColumns) * kPanelColumns);
  }
  const int64_t units = plan->in_registers ? panels : Ceil(panels, 2);
  // Long parts: within one, the filter is transformed between the products.
  plan->column_parts = static_cast<int32_t>(units >= 4 * threads ? 2 * threads : units);
  if (plan->in_registers) return;
  const int64_t strips = Ceil(plan->block_tiles, target.strip_rows);
  const double filter = CostsOf(plan->tile, target.lanes).filter;
  const double strip = static_cast<double>(target.strip_rows) * (plan->tile + 2) * (plan->tile + 2);
  double shortest = std::numeric_limits<double>::infinity();
  for (int64_t parts = 1; parts <= std::min<int64_t>(strips, threads); ++parts) {
    const double time = static_cast<double>(Ceil(plan->column_parts * parts, threads)) *
                        (filter + strip * static_cast<double>(Ceil(strips, parts)));
    if (time < shortest) {
      shortest = time;
      plan->row_parts = static_cast<int32_t>(parts);
    }
  }
}

}  // namespace

int64_t WinogradTiles(const WinogradPlan& plan, const WinogradConv& conv) {
  return conv.batch * Ceil(conv.image.out_h, plan.tile) * Ceil(conv.image.out_w, plan.tile);
}

int64_t WinogradBlocks(const WinogradPlan& plan, const WinogradConv& conv) {
  return Ceil(WinogradTiles(plan, conv), plan.block_tiles);
}

WinogradPlan PlanWinograd(const WinogradConv& conv, bool dequantizes, Isa isa, int threads) {
  WinogradPlan best;
  const Patches& image = conv.image;
  if (image.filter_h != 3 || image.filter_w != 3 || image.stride_h != 1 || image.stride_w != 1 ||
      image.dilation_h != 1 || image.dilation_w != 1 || image.channels != image.pixel) {
    return best;
  }
  const WinogradTarget target = FindWinogradTarget(isa);
  const double channels = static_cast<double>(image.channels);
  const double vectors = static_cast<double>(Ceil(conv.outputs, kPanelColumns) * kPanelColumns / target.lanes);
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
  if (best.tile != 0) Share(conv, target, threads, &best);
  return best;
}

}  // namespace wherry::math
