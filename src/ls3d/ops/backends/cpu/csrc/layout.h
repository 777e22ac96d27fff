// Sizes that every part of the kernel shares, and where frames and weights lie.
#pragma once

#include <vector>

#include "plan.h"

#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_thread_num() { return 0; }
#endif

namespace ls3d {
namespace {

constexpr int64_t kPad = 16;             // elements; keeps rows of a matrix out of the same cache sets
constexpr int64_t kDepth = 256;          // most columns that exist at a time, and the depth of a product
constexpr int64_t kRow = kDepth + kPad;  // row stride of columns and of packed output gradients

int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t parts_of(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

// Sizes of one channel group of the convolution, where the taps' weights lie, and the tiles of an output frame.
struct Layout {
  int64_t taps, spatial;        // taps in all, taps in a frame
  int64_t in_group, out_group;  // channels of a group
  int64_t out_padded;           // out_group up to whole vectors
  int64_t depth;                // taps * in_group
  int64_t positions;            // of an output frame
  int64_t tiles, tile_size;

  template <class T>
  static Layout of(const Problem& p, T) {
    Layout l;
    l.spatial = p.kernel[1] * p.kernel[2];
    l.taps = p.kernel[0] * l.spatial;
    l.in_group = p.channels / p.groups;
    l.out_group = p.out_channels / p.groups;
    l.out_padded = round_up(l.out_group, lanes<T>());
    l.depth = l.taps * l.in_group;
    l.positions = p.out_size[1] * p.out_size[2];
    l.tiles = parts_of(l.positions, kTile);
    return l;
  }

  // Settles on at least so many tiles, of a multiple of `unit` positions as far as that leaves no tile too large.
  void cut(int64_t least, int64_t unit) {
    tile_size = minimum(kTile, round_up(parts_of(positions, maximum(1, least)), unit));
    tiles = parts_of(positions, tile_size);
  }

  Tile tile(int64_t sample, int64_t frame, int64_t number) const {
    const int64_t begin = number * tile_size;
    return {sample, frame, begin, minimum(begin + tile_size, positions)};
  }
};

// The input frame that temporal tap `a` reads for an output frame; may lie outside the clip.
int64_t frame_of(const Problem& p, int64_t out_frame, int64_t a) {
  return out_frame * p.stride[0] + a * p.dilation[0] + p.frame_origin;
}

bool in_clip(const Problem& p, int64_t out_frame, int64_t a) {
  const int64_t frame = frame_of(p, out_frame, a);
  return frame >= 0 && frame < p.in_size[0];
}

template <class T>
const T* frame_data(const Problem& p, const Tile& tile, int64_t a) {
  return static_cast<const T*>(p.input) + tile.sample * p.input_sample + frame_of(p, tile.frame, a) * p.input_frame;
}

// Where each tap's weights start, from tap 0's: the divisions are done once.
std::vector<int64_t> tap_starts(const Array& weight, const Problem& p) {
  std::vector<int64_t> starts;
  for (int64_t a = 0; a < p.kernel[0]; ++a)
    for (int64_t i = 0; i < p.kernel[1]; ++i)
      for (int64_t j = 0; j < p.kernel[2]; ++j)
        starts.push_back(a * weight.stride[2] + i * weight.stride[3] + j * weight.stride[4]);
  return starts;
}

}  // namespace
}  // namespace ls3d
