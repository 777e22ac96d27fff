// Sizes that all parts of the kernel use, and where frames and weights start.
#pragma once

#include <vector>

#include "sampling_plan.h"

#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_thread_num() { return 0; }
#endif

namespace ls3d {
namespace {

constexpr int64_t kPad = 16;  // elements between rows of a matrix, so that rows use different cache sets
// Most columns computed at a time: the depth of a product. The columns of a tile, kTile x kRow floats, stay in the
// second-level cache: 555 KiB where there are vectors of 512 bits and with them at least 1 MiB, else 255 of 512 KiB.
#ifdef __AVX512F__
constexpr int64_t kDepth = 576;
#else
constexpr int64_t kDepth = 256;
#endif
constexpr int64_t kRow = kDepth + kPad;  // row stride of columns and of packed output gradients

int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t divide_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

// Sizes of one channel group of the convolution, and the tiles of an output frame.
struct Sizes {
  int64_t taps, spatial_taps;   // all taps; taps that read one frame, kH * kW
  int64_t in_group, out_group;  // input and output channels of a group
  int64_t bundle;               // groups that are sampled together
  int64_t out_padded;           // out_group, rounded up to whole vectors
  int64_t depth;                // taps * in_group
  int64_t positions;            // of an output frame
  int64_t tiles, tile_size;     // tiles of an output frame; positions in each, fewer in the last one

  // Everything but tile_size, for elements of type T.
  template <class T>
  static Sizes of(const KernelCall& call, T) {
    Sizes sizes;
    sizes.spatial_taps = call.kernel[1] * call.kernel[2];
    sizes.taps = call.kernel[0] * sizes.spatial_taps;
    sizes.in_group = call.channels / call.groups;
    sizes.out_group = call.out_channels / call.groups;
    // Groups with few channels share plans, and are sampled by whole vectors.
    sizes.bundle = minimum(call.groups, maximum(1, kDepth / maximum(1, maximum(sizes.in_group, sizes.out_group))));
    sizes.out_padded = round_up(sizes.out_group, lanes<T>());
    sizes.depth = sizes.taps * sizes.in_group;
    sizes.positions = call.out_size[1] * call.out_size[2];
    sizes.tiles = divide_up(sizes.positions, kTile);
    return sizes;
  }

  // Sets tile_size for at least `least` tiles of at most kTile positions each, rounded up to a multiple of `unit`.
  void set_tiles(int64_t least, int64_t unit) {
    tile_size = minimum(kTile, round_up(divide_up(positions, maximum(1, least)), unit));
    tiles = divide_up(positions, tile_size);
  }

  Tile tile(int64_t sample, int64_t frame, int64_t number) const {
    const int64_t begin = number * tile_size;
    return {sample, frame, begin, minimum(begin + tile_size, positions)};
  }
};

// The input frame that temporal tap `a` reads for an output frame; it may be outside the clip.
int64_t frame_read_by(const KernelCall& call, int64_t out_frame, int64_t a) {
  return out_frame * call.stride[0] + a * call.dilation[0] + call.frame_origin;
}

bool reads_clip(const KernelCall& call, int64_t out_frame, int64_t a) {
  const int64_t frame = frame_read_by(call, out_frame, a);
  return frame >= 0 && frame < call.in_size[0];
}

struct Range {
  int64_t first, last;  // [first, last)
};

// The temporal taps that read the clip for an output frame.
Range taps_in_clip(const KernelCall& call, int64_t out_frame) {
  Range taps{0, call.kernel[0]};
  while (taps.first < taps.last && !reads_clip(call, out_frame, taps.first)) ++taps.first;
  while (taps.first < taps.last && !reads_clip(call, out_frame, taps.last - 1)) --taps.last;
  return taps;
}

// The input frame that temporal tap `a` reads for a tile, (H, W, C).
template <class T>
const T* frame_data(const KernelCall& call, const Tile& tile, int64_t a) {
  return static_cast<const T*>(call.input) + tile.sample * call.input_sample +
         frame_read_by(call, tile.frame, a) * call.input_frame;
}

// The end of the input's elements.
template <class T>
const T* input_end(const KernelCall& call) {
  return static_cast<const T*>(call.input) + (call.batch - 1) * call.input_sample +
         (call.in_size[0] - 1) * call.input_frame + (call.in_size[1] * call.in_size[2] - 1) * call.input_pixel +
         call.channels;
}

// The distance of each tap's weights from those of tap 0, in elements: a table instead of a division for each element.
std::vector<int64_t> tap_distances(const Array& weight, const KernelCall& call) {
  std::vector<int64_t> distances;
  for (int64_t a = 0; a < call.kernel[0]; ++a)
    for (int64_t i = 0; i < call.kernel[1]; ++i)
      for (int64_t j = 0; j < call.kernel[2]; ++j)
        distances.push_back(a * weight.stride[2] + i * weight.stride[3] + j * weight.stride[4]);
  return distances;
}

}  // namespace
}  // namespace ls3d
