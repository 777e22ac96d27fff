// The forward pass. A thread takes a tile of output positions, samples up to kDepth columns at a time into a small
// matrix, which stays in the second-level cache, and multiplies it by the packed weights at once. The full column
// matrix never exists.
#pragma once

#include <optional>

#include "depthwise.h"
#include "few_channels.h"
#include "forward_group.h"
#include "pack.h"
#include "sample.h"
#include "small_groups.h"
#include "transpose.h"

namespace ls3d {
namespace {

// The number of elements, E, of a group's packed weights: those of gemm or, for few outputs, of pack_few_outputs.
template <class T, class E>
int64_t packed_size(const KernelCall& call, const Sizes& sizes) {
  if (std::is_same_v<E, T> && has_few_outputs<T>(call, sizes)) return few_outputs_size(sizes);
  return round_up(sizes.out_group, panel_width<T>()) * sizes.depth / (std::is_same_v<E, T> ? 1 : 2);
}

template <template <class> class Plan, class T>
struct ForwardScratch {
  PieceScratch<Plan, T> pieces;
  PaddedPlan<T> padded_plan;
  alignas(64) T columns[kTile * kRow];
};

// Adds the products of samples and weights of `groups` groups, from group `first` on, which have at most kDepth
// channels, to `sums`, (positions, all groups, out_padded). `packed` are the weights of all groups.
template <template <class> class Plan, class T>
void forward_bundle(const KernelCall& call, const Sizes& sizes, const T* packed, const Tile& tile, int64_t first,
                    int64_t groups, ForwardScratch<Plan, T>& scratch, Sums<T> sums) {
  const int64_t begin = first * sizes.in_group, channels = groups * sizes.in_group, end = begin + channels;
  const int64_t offset_channels = call.channels / call.offset_groups;
  const int64_t packed_group = round_up(sizes.out_group, panel_width<T>()) * sizes.depth;
  const int64_t most = kDepth / channels;  // taps
  int64_t filled = 0, start = 0;           // taps
  const bool small = has_small_groups<T>(call, sizes);
  auto multiply = [&] {
    if (small)
      multiply_small_groups<T>(call, sizes, scratch.columns, filled, channels,
                               packed + start * sizes.in_group * call.channels + begin, sums.at(0, begin), tile.size());
    for (int64_t group = 0; filled && !small && group < groups; ++group)
      gemm<T, kRow, 1, kAnyRun>(scratch.columns + group * sizes.in_group,
                                packed + (first + group) * packed_group + start * sizes.in_group * panel_width<T>(),
                                sizes.depth * panel_width<T>(), panel_width<T>(),
                                sums.at(0, (first + group) * sizes.out_padded), tile.size(), sizes.out_group,
                                filled * sizes.in_group, sizes.in_group, channels - sizes.in_group);
    filled = 0;
    sums = sums.started();
  };
  for (int64_t tap = 0; tap < sizes.taps; ++tap) {
    const int64_t a = tap / sizes.spatial_taps;
    if (!reads_clip(call, tile.frame, a)) continue;
    const T* frame = frame_data<T>(call, tile, a);
    if (!filled) start = tap;
    for (int64_t c = begin; c < end;) {
      const int64_t run_end = minimum(end, (c / offset_channels + 1) * offset_channels);
      make_sampling_plan<false>(call, tile, scratch.pieces.grid, tap, c / offset_channels, scratch.pieces.plan);
      sample(scratch.pieces.plan, tile.size(), frame + c, input_end<T>(call), call.input_pixel, run_end - c,
             scratch.columns + filled * channels + c - begin, kRow);
      c = run_end;
    }
    if (++filled == most) multiply();
  }
  multiply();
}

// Whether products can be added to the output itself: a row of it for each position, of whole vectors.
template <class T>
bool output_is_matrix(const KernelCall& call, const Sizes& sizes) {
  const int64_t* stride = call.output.stride;
  return !call.bfloat16_output && stride[1] == 1 && stride[3] == call.out_size[2] * stride[4] &&
         sizes.out_padded == sizes.out_group && call.out_channels % lanes<T>() == 0;
}

// Copies the sums, (positions, groups * out_padded), to the output, whose elements are O.
template <class O, class T>
void write_output(const KernelCall& call, const Sizes& sizes, const Tile& tile, const T* sums, int64_t sums_row) {
  const auto convert = [](T value) {
    if constexpr (std::is_same_v<O, T>)
      return value;
    else
      return to_bfloat16(value);
  };
  for_each_row(call, tile, [&](int64_t first, int64_t count, int64_t y, int64_t x) {
    for (int64_t group = 0; group < call.groups; ++group) {
      const T* from = sums + first * sums_row + group * sizes.out_padded;
      O* to = element<O>(call.output, tile.sample, group * sizes.out_group, tile.frame, y, x);
      const int64_t channel_stride = call.output.stride[1], pixel_stride = call.output.stride[4];
      if (channel_stride == 1) {
        for (int64_t k = 0; k < count; ++k)
          for (int64_t o = 0; o < sizes.out_group; ++o) to[k * pixel_stride + o] = convert(from[k * sums_row + o]);
        continue;
      }
      if constexpr (std::is_same_v<O, T>)
        if (pixel_stride == 1) {
          transpose(from, sums_row, count, sizes.out_group, to, channel_stride);
          continue;
        }
      for (int64_t o = 0; o < sizes.out_group; ++o)
        for (int64_t k = 0; k < count; ++k) to[o * channel_stride + k * pixel_stride] = convert(from[k * sums_row + o]);
    }
  });
}

// `packed` are the weights of all groups, or of a depthwise convolution, which is given as one group; pairs only if
// groups are neither bundled nor have an odd number of channels. `padded` is the input if call.few_channels, else null.
template <class E, template <class> class Plan, class T>
void forward_tile(const KernelCall& call, const Sizes& sizes, bool depthwise, const E* packed,
                  const PaddedInput<T>* padded, const Tile& tile, ForwardScratch<Plan, T>& scratch, const T* start,
                  T* buffer) {
  const int64_t width = call.groups * sizes.out_padded;
  Sums<T> sums = {buffer, width + kPad, start, 0};
  const bool in_place = output_is_matrix<T>(call, sizes);
  if (in_place) {
    sums.row = call.output.stride[4];
    sums.data = element<T>(call.output, tile.sample, 0, tile.frame, 0, 0) + tile.begin * sums.row;
  }
  const Range taps = taps_in_clip(call, tile.frame);
  const bool empty = taps.first == taps.last || sizes.in_group == 0;
  scratch.pieces.grid.set(call, tile);
  if (empty) sums.copy_start(tile.size(), width);
  if constexpr (std::is_same_v<E, T>) {
    if (padded) {
      Sums<T> planes = {nullptr, call.output.stride[1], padded->bias.get(), kTileRow};
      if (!empty && output_is_planes(call) && tile.size() % lanes<T>() == 0)
        planes.data = element<T>(call.output, tile.sample, 0, tile.frame, 0, 0) + tile.begin;
      with_channels(call.channels, [&](auto channels) {
        forward_few_channels<channels.value>(call, sizes, *padded, packed, tile, scratch.pieces.grid,
                                             scratch.padded_plan, scratch.columns, sums, planes);
      });
      if (planes.data) return;
    }
    if (depthwise) forward_depthwise(call, sizes, packed, tile, scratch.pieces, sums);
    for (int64_t group = 0; !depthwise && sizes.bundle > 1 && group < call.groups; group += sizes.bundle)
      forward_bundle(call, sizes, packed, tile, group, minimum(sizes.bundle, call.groups - group), scratch, sums);
  }
  const int64_t packed_group = packed_size<T, E>(call, sizes);
  for (int64_t group = 0; !padded && !depthwise && sizes.bundle == 1 && group < call.groups; ++group)
    forward_group(call, sizes, packed + group * packed_group, tile, group, scratch.pieces, scratch.columns,
                  sums.at(0, group * sizes.out_padded));
  if (in_place) return;
  if (std::is_same_v<T, float> && call.bfloat16_output)
    write_output<Bfloat16>(call, sizes, tile, sums.data, sums.row);
  else
    write_output<T>(call, sizes, tile, sums.data, sums.row);
}

// Packs the weights, whose elements are S.
template <class S, class T, class E>
void pack(const KernelCall& call, const Sizes& sizes, bool depthwise, const std::vector<int64_t>& distances,
          E* packed) {
  if constexpr (std::is_same_v<E, T>) {
    if (depthwise) return pack_depthwise<S>(call, distances, packed);
    if (has_small_groups<T>(call, sizes)) return pack_small_groups<false, S>(call, sizes, distances, packed);
    if (has_few_outputs<T>(call, sizes)) return pack_few_outputs<S>(call, sizes, distances, packed);
  }
  pack_forward<S, T>(call, sizes, distances, packed);
}

template <template <class> class Plan, class T, class E>
int32_t forward_with(const KernelCall& call, Sizes sizes, bool depthwise) {
  if (has_small_groups<T>(call, sizes)) sizes.out_padded = sizes.out_group;
  if (depthwise) sizes.tiles = maximum(sizes.tiles, divide_up(sizes.positions * call.channels, kMostSums));
  // Four tiles for each thread balance the load, as long as a tile has at least four rows of register tiles. Not tuned.
  const int64_t frames = maximum(1, call.batch * call.out_size[0]);
  const int64_t wanted = minimum(divide_up(4 * call.threads, frames), divide_up(sizes.positions, 4 * kRows));
  sizes.set_tiles(maximum(sizes.tiles, wanted), kRows);
  const int64_t sums_size = sizes.tile_size * (call.groups * sizes.out_padded + kPad);
  auto packed = allocate<E>(depthwise                          ? sizes.taps * depthwise_row<T>(call)
                            : has_small_groups<T>(call, sizes) ? small_groups_size(call, sizes)
                                                               : call.groups * packed_size<T, E>(call, sizes));
  auto scratch = allocate<ForwardScratch<Plan, T>>(call.threads);
  auto sums = allocate<T>(call.threads * sums_size);
  auto start = allocate<T>(call.groups * sizes.out_padded);
  std::optional<PaddedInput<T>> padded;
  if (call.few_channels) padded.emplace(call);
  if (!packed || !scratch || !sums || !start || (padded && !padded->has_memory)) return kNoMemory;
  for (int64_t o = 0; o < call.groups * sizes.out_padded; ++o) {
    const int64_t group = o / sizes.out_padded, place = o % sizes.out_padded;
    start[o] =
        call.bias && place < sizes.out_group ? static_cast<const T*>(call.bias)[group * sizes.out_group + place] : T(0);
  }
  const int64_t work = call.batch * call.out_size[0] * sizes.tiles;
  const std::vector<int64_t> distances = tap_distances(call.weight, call);
#pragma omp parallel num_threads(call.threads)
  {
    const int64_t thread = omp_get_thread_num();
    if (call.bfloat16_weight)
      pack<Bfloat16, T>(call, sizes, depthwise, distances, packed.get());
    else if constexpr (std::is_same_v<E, T>)
      pack<T, T>(call, sizes, depthwise, distances, packed.get());
    if (padded) fill(call, *padded);
#pragma omp for schedule(dynamic)
    for (int64_t item = 0; item < work; ++item) {
      const int64_t frame = item / sizes.tiles;
      const Tile tile = sizes.tile(frame / call.out_size[0], frame % call.out_size[0], item % sizes.tiles);
      forward_tile(call, sizes, depthwise, packed.get(), padded ? &*padded : nullptr, tile, scratch[thread],
                   start.get(), &sums[thread * sums_size]);
    }
  }
  return kDone;
}

template <template <class> class Plan, class T>
int32_t forward(const KernelCall& given) {
  const bool depthwise = is_depthwise(given);
  const KernelCall call = depthwise ? as_one_group(given) : given;
  const Sizes sizes = Sizes::of(call, T());
  if constexpr (kHasPairs && std::is_same_v<T, float>)
    if (call.bfloat16_products && !call.few_channels && !has_few_outputs<T>(call, sizes) && !depthwise &&
        sizes.bundle == 1 && sizes.in_group % 2 == 0)
      return forward_with<Plan, T, Pair>(call, sizes, depthwise);
  return forward_with<Plan, T, T>(call, sizes, depthwise);
}

}  // namespace
}  // namespace ls3d
