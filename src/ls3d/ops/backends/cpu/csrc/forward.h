// Forward: a thread takes a tile of output positions, samples a few taps at a time into a small matrix of columns (the
// second cache level holds it) and multiplies it at once with the packed weights; the full column matrix never exists.
#pragma once

#include "pack.h"
#include "sample.h"

namespace ls3d {
namespace {

template <class T>
struct ForwardScratch {
  Plan<T> plan;
  alignas(64) T columns[kTile * kRow];
};

// Samples the taps of one group and adds their products to `sums`, kDepth columns at a time.
template <class T>
void forward_group(const Problem& p, const Layout& l, const T* packed, const Tile& tile, int64_t group,
                   ForwardScratch<T>& scratch, T* sums, int64_t sums_row) {
  const int64_t first = group * l.in_group, last = first + l.in_group, share = p.channels / p.offset_groups;
  int64_t filled = 0, start = 0;
  auto multiply = [&] {
    if (filled)
      gemm<T, true, kRow, 1>(scratch.columns, packed + start * panel_width<T>(), l.depth * panel_width<T>(),
                             panel_width<T>(), sums, sums_row, tile.size(), l.out_group, filled);
    filled = 0;
  };
  for (int64_t tap = 0; tap < l.taps; ++tap) {
    const int64_t a = tap / l.spatial;
    if (!in_clip(p, tile.frame, a)) continue;
    const T* frame = frame_data<T>(p, tile, a);
    for (int64_t c = first; c < last;) {
      const int64_t run = minimum(last, (c / share + 1) * share);
      make_plan(p, tile, tap, c / share, scratch.plan);
      while (c < run) {
        const int64_t count = minimum(run - c, kDepth - filled);
        if (!filled) start = tap * l.in_group + c - first;
        sample(scratch.plan, tile.size(), frame + c, p.input_pixel, count, scratch.columns + filled, kRow);
        c += count;
        filled += count;
        if (filled == kDepth) multiply();
      }
    }
  }
  multiply();
}

// Writes the sums, rows of positions, wherever the output's strides say.
template <class T>
void write_output(const Problem& p, const Layout& l, const Tile& tile, const T* sums, int64_t sums_row) {
  for_rows(p, tile, [&](int64_t at, int64_t count, int64_t y, int64_t x) {
    for (int64_t group = 0; group < p.groups; ++group) {
      const T* from = sums + at * sums_row + group * l.out_padded;
      T* to = element<T>(p.output, tile.sample, group * l.out_group, tile.frame, y, x);
      const int64_t so = p.output.stride[1], sx = p.output.stride[4];
      if (so == 1) {
        for (int64_t k = 0; k < count; ++k)
          std::memcpy(to + k * sx, from + k * sums_row, l.out_group * sizeof(T));
      } else {
        for (int64_t o = 0; o < l.out_group; ++o)
          for (int64_t k = 0; k < count; ++k) to[o * so + k * sx] = from[k * sums_row + o];
      }
    }
  });
}

template <class T>
void forward_tile(const Problem& p, const Layout& l, const T* packed, const Tile& tile, ForwardScratch<T>& scratch,
                  T* sums) {
  const int64_t sums_row = p.groups * l.out_padded + kPad;
  const T* bias = static_cast<const T*>(p.bias);
  std::memset(sums, 0, tile.size() * sums_row * sizeof(T));
  if (bias)
    for (int64_t k = 0; k < tile.size(); ++k)
      for (int64_t o = 0; o < p.out_channels; ++o)
        sums[k * sums_row + o / l.out_group * l.out_padded + o % l.out_group] = bias[o];
  const int64_t packed_group = round_up(l.out_group, panel_width<T>()) * l.depth;
  for (int64_t group = 0; group < p.groups; ++group)
    forward_group(p, l, packed + group * packed_group, tile, group, scratch, sums + group * l.out_padded, sums_row);
  write_output(p, l, tile, sums, sums_row);
}

template <class T>
int32_t forward(const Problem& p) {
  Layout l = Layout::of(p, T());
  const int64_t frames = maximum(1, p.batch * p.out_size[0]);  // enough tiles for all threads, but none too low
  l.cut(maximum(l.tiles, minimum(parts_of(4 * p.threads, frames), parts_of(l.positions, 4 * kRows))), kRows);
  const int64_t sums_size = kTile * (p.groups * l.out_padded + kPad);
  auto packed = allocate<T>(p.groups * round_up(l.out_group, panel_width<T>()) * l.depth);
  auto scratch = allocate<ForwardScratch<T>>(p.threads);
  auto sums = allocate<T>(p.threads * sums_size);
  if (!packed || !scratch || !sums) return kNoMemory;
  const int64_t work = p.batch * p.out_size[0] * l.tiles;
  const std::vector<int64_t> starts = tap_starts(p.weight, p);
#pragma omp parallel num_threads(p.threads)
  {
    const int64_t me = omp_get_thread_num();
    pack_forward(p, l, starts, packed.get());
#pragma omp for schedule(dynamic)
    for (int64_t item = 0; item < work; ++item) {
      const int64_t frame = item / l.tiles;
      const Tile tile = l.tile(frame / p.out_size[0], frame % p.out_size[0], item % l.tiles);
      forward_tile(p, l, packed.get(), tile, scratch[me], &sums[me * sums_size]);
    }
  }
  return kDone;
}

}  // namespace
}  // namespace ls3d
