// What both forms of Winograd products share: how a block of tiles and its transformed image lie in memory,
// transforming the image, and transforming products back into the output. Compiled once for each instruction set.
#if defined(WHERRY_MATH_WINOGRAD_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WHERRY_MATH_WINOGRAD_BLOCKS_INL_H_
#undef WHERRY_MATH_WINOGRAD_BLOCKS_INL_H_
#else
#define WHERRY_MATH_WINOGRAD_BLOCKS_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "math/activation.h"
#include "math/winograd.h"
#include "math/winograd_transforms-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wherry::math::HWY_NAMESPACE {

// What stands for pixels outside the image; as long as the longest block of channels.
alignas(64) inline constexpr float kOutside[static_cast<size_t>(kBlockK)] = {};

// Tiles whose products registers hold at once (winograd_registers-inl.h).
inline constexpr int64_t kRegisterTiles = 4;

struct TileRange {
  int64_t begin;
  int64_t end;
  int64_t size() const { return end - begin; }
};

inline TileRange EvenPart(int64_t count, int64_t index, int64_t parts) {
  return {count * index / parts, count * (index + 1) / parts};
}

// The most tiles of a strip: the rows of a product.
inline int64_t StripCapacity(const WinogradPlan& plan) { return plan.in_registers ? kRegisterTiles : kTileRows; }

// One block of tiles, in strips of equal size (or one less). The transformed image is
// [strip][group][strip_rows][kTileStride]: a row of a group has the channels of a tile for one or more points, a block
// of channels at a time. Products from memory want kTileStride as the distance of rows and take one point after the
// other, so as many runs (a point and a block of channels) as fit share a row. Products in registers take several points
// of the same channels, so only blocks of channels share a row.
struct BlockLayout {
  int64_t channels;
  int64_t block_channels;
  int64_t channel_blocks;
  int64_t points;  // products of a tile
  int64_t runs;    // in a row
  bool in_registers;
  int64_t groups;
  TileRange tiles;
  int64_t strips;
  int64_t strip_rows;

  BlockLayout(const WinogradPlan& plan, const WinogradConv& conv, int64_t block)
      : channels(conv.image.channels),
        block_channels(plan.block_channels),
        channel_blocks((channels + block_channels - 1) / block_channels),
        points(int64_t{plan.tile + 2} * (plan.tile + 2)),
        runs(kTileStride / block_channels),
        in_registers(plan.in_registers),
        groups(in_registers ? (channel_blocks + runs - 1) / runs * points
                            : (channel_blocks * points + runs - 1) / runs),
        tiles(EvenPart(WinogradTiles(plan, conv), block, WinogradBlocks(plan, conv))),
        strips((tiles.size() + StripCapacity(plan) - 1) / StripCapacity(plan)),
        strip_rows((tiles.size() + strips - 1) / strips) {}

  TileRange Strip(int64_t strip) const { return EvenPart(tiles.size(), strip, strips); }
  // From the strip's start to row 0 of a point and a block of channels.
  int64_t Offset(int64_t channel_block, int64_t point) const {
    if (in_registers) {
      return (channel_block / runs * points + point) * strip_rows * kTileStride + channel_block % runs * block_channels;
    }
    const int64_t run = channel_block * points + point;
    return run / runs * strip_rows * kTileStride + run % runs * block_channels;
  }
  int64_t StripFloats() const { return groups * strip_rows * kTileStride; }
};

// Where a tile is: outputs from (y, x) of image `batch`.
struct TilePlace {
  int64_t batch;
  int64_t y;
  int64_t x;
};

inline TilePlace PlaceOf(const WinogradPlan& plan, const WinogradConv& conv, int64_t tile) {
  const int64_t tiles_w = (conv.image.window.w.out + plan.tile - 1) / plan.tile;
  const int64_t tiles_h = (conv.image.window.h.out + plan.tile - 1) / plan.tile;
  return {tile / tiles_w / tiles_h, tile / tiles_w % tiles_h * plan.tile, tile % tiles_w * plan.tile};
}

template <int kTile>
void TransformBlock(const WinogradPlan& plan, const WinogradConv& conv, const BlockLayout& layout, float* transformed) {
  constexpr int n = Winograd<kTile>::kPoints;
  const Patches& image = conv.image;
  const auto& [h, w] = image.window;
  for (int64_t channel_block = 0; channel_block < layout.channel_blocks; ++channel_block) {
    const int64_t c0 = channel_block * layout.block_channels;
    const int64_t count = std::min(layout.block_channels, layout.channels - c0);
    int64_t offsets[n * n];
    for (int point = 0; point < n * n; ++point) offsets[point] = layout.Offset(channel_block, point);
    int64_t strip = 0;
    for (int64_t tile = 0; tile < layout.tiles.size(); ++tile) {
      while (tile >= layout.Strip(strip).end) ++strip;
      const TilePlace place = PlaceOf(plan, conv, layout.tiles.begin + tile);
      const float* pixels[n * n];
      for (int i = 0; i < n; ++i) {
        const int64_t y = place.y - h.before + i;
        for (int j = 0; j < n; ++j) {
          const int64_t x = place.x - w.before + j;
          const bool inside = y >= 0 && y < h.in && x >= 0 && x < w.in;
          pixels[i * n + j] =
              inside ? image.image + ((place.batch * h.in + y) * w.in + x) * image.pixel + c0 : kOutside;
        }
      }
      float* out =
          transformed + strip * layout.StripFloats() + (tile - layout.Strip(strip).begin) * kTileStride;
      int64_t c = 0;
      for (; c + kTileLanes <= count; c += kTileLanes) TransformImage<kTile>(pixels, c, out + c, offsets);
      if (c == count) continue;
      alignas(64) float last[static_cast<size_t>(n * n * kTileLanes)] = {};
      for (int i = 0; i < n * n; ++i) {
        std::memcpy(last + i * kTileLanes, pixels[i] + c, sizeof(float) * static_cast<size_t>(count - c));
        pixels[i] = last + i * kTileLanes;
      }
      TransformImage<kTile>(pixels, 0, out + c, offsets);
    }
  }
}

// All products of a block and some panels.
struct Products {
  const WinogradPlan& plan;
  const WinogradConv& conv;
  const BlockLayout& layout;
  int64_t panel;
  int64_t columns;    // from the first of that panel on; those that the output lacks are not stored
  const float* data;  // [strip][point][strip_rows][columns]
};

template <int kTile>
void StoreOutputs(const Products& products, const Epilogue& epilogue, float* out) {
  constexpr int n = Winograd<kTile>::kPoints;
  const TileTag d;
  const auto& [h, w] = products.conv.image.window;
  const BlockLayout& layout = products.layout;
  const int64_t point_stride = layout.strip_rows * products.columns;
  const int64_t stride = products.conv.row;
  const int64_t column = products.panel * kPanelColumns;
  const int64_t columns = std::min(products.columns, products.conv.outputs - column);
  const Clamp clamp = ClampOf(epilogue.activation);
  const WinogradVector low = hn::Set(d, clamp.low);
  const WinogradVector high = hn::Set(d, clamp.high);
  for (int64_t strip = 0; strip < layout.strips; ++strip) {
    const TileRange rows = layout.Strip(strip);
    const float* strip_products = products.data + strip * n * n * point_stride;
    for (int64_t row = 0; row < rows.size(); ++row) {
      const TilePlace place = PlaceOf(products.plan, products.conv, layout.tiles.begin + rows.begin + row);
      const int64_t high_y = std::min<int64_t>(kTile, h.out - place.y);
      const int64_t high_x = std::min<int64_t>(kTile, w.out - place.x);
      const int64_t first = ((place.batch * h.out + place.y) * w.out + place.x) * stride + column;
      for (int64_t i = 0; i < columns; i += kTileLanes) {
        const size_t count = static_cast<size_t>(std::min<int64_t>(kTileLanes, columns - i));
        const bool whole = count == static_cast<size_t>(kTileLanes);
        WinogradVector y[kTile][kTile];
        TransformOutput<kTile>(strip_products + row * products.columns + i, point_stride, y);
        const auto load = [&](const float* from) HWY_ATTR {
          return whole ? hn::LoadU(d, from) : hn::LoadN(d, from, count);
        };
        const WinogradVector bias = epilogue.bias != nullptr ? load(epilogue.bias + column + i) : hn::Zero(d);
        HWY_UNROLL(4)
        for (int r = 0; r < kTile; ++r) {
          HWY_UNROLL(4)
          for (int s = 0; s < kTile; ++s) {
            if (r >= high_y || s >= high_x) continue;
            const int64_t at = first + (r * w.out + s) * stride + i;
            WinogradVector value = epilogue.bias != nullptr ? hn::Add(y[r][s], bias) : y[r][s];
            if (epilogue.residual != nullptr) value = hn::Add(value, load(epilogue.residual + at));
            value = hn::Min(high, hn::Max(low, value));  // as a tile of tile-inl.h does: NaN passes
            if (whole) {
              hn::StoreU(value, d, out + at);
            } else {
              hn::StoreN(value, d, out + at, count);
            }
          }
        }
      }
      if (epilogue.activation <= Activation::kRelu6) continue;
      for (int64_t r = 0; r < high_y; ++r) {
        float* const from = out + first + r * w.out * stride;
        Activate(epilogue.activation, epilogue.alpha, {from, from, stride, high_x, columns}, products.plan.isa);
      }
    }
  }
}

}  // namespace wherry::math::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
