// The forward pass of a group that is not in a bundle: products of matrices, of samples and packed weights, for a piece
// of a tile and some columns at a time. The next samples are computed between the instructions of a product.
#pragma once

#include "few_outputs.h"
#include "pieces.h"
#include "sample.h"

namespace ls3d {
namespace {

// Makes the plan of a step and returns its samples of channels [first, last), all of one offset group. `columns`,
// (positions, columns), are those of the step.
template <class V, int Count, class C, template <class> class Plan, class T>
auto samples_of(const KernelCall& call, const Sizes& sizes, const Tile& tile, int64_t group, const Step& step,
                int64_t first, int64_t last, PieceScratch<Plan, T>& scratch, C* columns) {
  const int64_t channel = group * sizes.in_group + first;
  make_plan(call, tile, scratch.grid, step, channel / (call.channels / call.offset_groups), scratch.plan);
  find_frames(call, sizes, tile, step, channel, scratch.frames);
  constexpr int64_t row = kRow * (sizeof(T) / sizeof(C));
  return SamplesOf<V, Count, typename Plan<T>::Piece, T, C>(
      scratch.plan, step.taps, step.count, scratch.frames, input_end<T>(call), call.input_pixel, last - first,
      columns + first - step.first, step.last - step.first, row, scratch.left_over);
}

// Adds the products of samples and weights of a group to `sums`, (positions, out_group). `packed` are the group's
// weights: elements, or pairs if the number of channels is even. There are kTile * kRow `columns`.
template <class E, template <class> class Plan, class T>
void forward_group(const KernelCall& call, const Sizes& sizes, const E* packed, const Tile& tile, int64_t group,
                   PieceScratch<Plan, T>& scratch, T* columns, const Sums<T>& sums) {
  constexpr int W = panel_width<T>(), values = std::is_same_v<E, T> ? 1 : 2;  // in an element of E
  using C = std::conditional_t<values == 1, T, Bfloat16>;
  C* const pieces[2] = {reinterpret_cast<C*>(columns), reinterpret_cast<C*>(columns + kPiece * kRow)};
  const bool few = values == 1 && has_few_outputs<T>(call, sizes);
  const auto multiply = [&](const Step& step, const C* piece, auto&& between) {
    const int64_t start = step.tap * sizes.in_group + step.first;
    Sums<T> to = sums.at(step.begin, 0);
    if (!step.starts) to = to.started();
    if (!few)
      gemm<T, kRow, 1>(reinterpret_cast<const E*>(piece), packed + start / values * W, sizes.depth / values * W, W, to,
                       step.count, sizes.out_group, step.columns() / values, 0, 0, between);
    else if constexpr (values == 1)
      multiply_few_outputs<T>(piece, packed + start, sizes.depth, step.columns(), step.count,
                              to.copy_start(step.count, sizes.out_group), sizes.out_group);
  };
  const int64_t channel = group * sizes.in_group, offset_channels = call.channels / call.offset_groups;
  // Whether all channels are of one offset group. Else the next tap is sampled after all offset groups: a sample may
  // overwrite what follows it, and lines of the columns are shared by offset groups.
  const bool one_run = channel / offset_channels == (channel + sizes.in_group - 1) / offset_channels;
  Steps steps(call, sizes, tile, values * kDepth, one_run ? kPiece : kTile, lanes<T>());
  Step step, next;
  if (!steps.next(step)) return;
  bool done = false;
  with_vectors<T>(step.last, [&](auto vector, auto count) {
    using V = decltype(vector);
    // The register tiles of AVX-512 leave vector registers for samples of four corners.
    if constexpr (sizeof(V) == 64 && Plan<T>::kCorners == 4) {
      if (!one_run || few) return;
      const auto samples_at = [&](const Step& at, C* piece) {
        return samples_of<V, count.value>(call, sizes, tile, group, at, at.first, at.last, scratch, piece);
      };
      samples_at(step, pieces[0]).finish();
      int k = 0;
      for (; steps.next(next); k = 1 - k, step = next) {
        auto samples = samples_at(next, pieces[1 - k]);
        samples.spread(calls_between<T>(step.count, sizes.out_group, step.columns() / values));
        multiply(step, pieces[k], samples);
        samples.finish();
      }
      multiply(step, pieces[k], Nothing());
      done = true;
    }
  });
  if (done) return;
  do {
    Step part = step;
    if (!one_run) part.taps = 1, part.ahead = {1, 0};
    for (; part.tap < step.tap + step.taps; part.tap += part.taps)
      for (int64_t first = step.first, last; first < step.last; first = last) {
        last = minimum(step.last, first + offset_channels - (channel + first) % offset_channels);
        C* to = pieces[0] + (part.tap - step.tap) * (step.last - step.first);
        with_vectors<T>(last - first, [&](auto vector, auto count) {
          samples_of<decltype(vector), count.value>(call, sizes, tile, group, part, first, last, scratch, to).finish();
        });
      }
    multiply(step, pieces[0], Nothing());
  } while (steps.next(step));
}

}  // namespace
}  // namespace ls3d
