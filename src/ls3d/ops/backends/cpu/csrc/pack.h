// Copies weights between torch's order (output channel, input channel, tap) and the kernel's, through small blocks on
// the stack, so that reads and writes both go along cache lines. Each function is called by all threads of a parallel
// region and shares its work among them.
#pragma once

#include <cstring>

#include "gemm.h"
#include "sizes.h"

namespace ls3d {
namespace {

constexpr int64_t kStage = 192;  // elements of an output channel in a block: the block fits the first-level cache
constexpr int64_t kStageRow = kStage + kPad;  // row stride: 13 cache lines of floats, odd, to use all cache sets

// Calls visit(index, channel, tap) for elements [first, last) of an output channel's weights, in torch's order.
template <class F>
inline void for_each_weight(int64_t first, int64_t last, int64_t taps, F visit) {
  int64_t channel = first / taps, tap = first % taps;
  for (int64_t index = first; index < last; ++index) {
    visit(index, channel, tap);
    if (++tap == taps) ++channel, tap = 0;
  }
}

// For the forward pass: packed is (groups, panels, taps, in_group, panel_width), zero beyond the last output channel. S
// is the type of the weights' elements; if it is Bfloat16, E may be Pair, and packed is (groups, panels, taps, in_group
// / 2, panel_width, 2) of bfloat16.
template <class S, class T, class E>
void pack_forward(const KernelCall& call, const Sizes& sizes, const std::vector<int64_t>& distances, E* packed) {
  constexpr bool pairs = !std::is_same_v<E, T>;
  constexpr int W = panel_width<T>();
  const int64_t panels = divide_up(sizes.out_group, W), blocks = divide_up(sizes.depth, kStage);
#pragma omp for schedule(static)
  for (int64_t item = 0; item < call.groups * panels * blocks; ++item) {
    const int64_t panel = item / blocks % panels, group = item / blocks / panels;
    const int64_t first = item % blocks * kStage, last = minimum(first + kStage, sizes.depth);
    alignas(64) S stage[W * kStageRow];
    for (int64_t lane = 0; lane < W; ++lane) {
      S* row = stage + lane * kStageRow;
      const int64_t o = panel * W + lane;
      const S* from = static_cast<const S*>(call.weight.data) + (group * sizes.out_group + o) * call.weight.stride[0];
      if (o >= sizes.out_group)
        std::memset(row, 0, kStage * sizeof(S));
      else
        for_each_weight(first, last, sizes.taps, [&](int64_t index, int64_t channel, int64_t tap) {
          row[index - first] = from[channel * call.weight.stride[1] + distances[tap]];
        });
    }
    E* to = packed + (group * panels + panel) * (sizes.depth / (pairs ? 2 : 1)) * W;
    for_each_weight(first, last, sizes.taps, [&](int64_t index, int64_t channel, int64_t tap) {
      const S* from = stage + index - first;
      if constexpr (pairs) {
        auto* line = reinterpret_cast<S*>(to + (tap * sizes.in_group + channel) / 2 * W) + channel % 2;
        for (int64_t lane = 0; lane < W; ++lane) store(line + 2 * lane, from[lane * kStageRow]);
      } else {
        E* line = to + (tap * sizes.in_group + channel) * W;
        for (int64_t lane = 0; lane < W; ++lane) line[lane] = widen(from[lane * kStageRow]);
      }
    });
  }
}

// Channels [first, last) of each group, and where their packed weights start.
struct Slice {
  int64_t first, last;
  int64_t packed;
  int64_t width() const { return last - first; }
};

// Columns of a slice's packed weights for one group and tap. In a bundle every tap starts a panel.
template <class T>
int64_t tap_width(const Sizes& sizes, const Slice& slice) {
  return sizes.bundle > 1 ? round_up(slice.width(), panel_width<T>()) : slice.width();
}

// The number of elements of a slice's packed weights for one group and temporal tap.
template <class T>
int64_t transposed_size(const Sizes& sizes, const Slice& slice) {
  return round_up(sizes.spatial_taps * tap_width<T>(sizes, slice), panel_width<T>()) * sizes.out_group;
}

// For the backward pass: packed is (groups, kT, panels, out_group, panel_width) for each slice. The columns of all
// panels are (spatial tap, channel), so that the output's gradient times a panel is the gradient of columns. What
// belongs to no channel is zero.
template <class T>
void pack_transposed(const KernelCall& call, const Sizes& sizes, const std::vector<int64_t>& distances,
                     const std::vector<Slice>& slices, T* packed) {
  constexpr int W = panel_width<T>();
  constexpr int64_t kRun = 16;  // output channels in a block: 16 rows of a panel are written one after another
  const int64_t blocks = divide_up(sizes.out_group, kRun), count = slices.size();
#pragma omp for schedule(static)
  for (int64_t item = 0; item < call.groups * count * blocks; ++item) {
    const Slice& slice = slices[item / blocks % count];
    const int64_t group = item / blocks / count, size = transposed_size<T>(sizes, slice);
    const int64_t begin = item % blocks * kRun, end = minimum(begin + kRun, sizes.out_group);
    const int64_t width = tap_width<T>(sizes, slice);
    T* to = packed + slice.packed + group * call.kernel[0] * size;
    for (int64_t o = begin; o < end; ++o) {
      const T* from = static_cast<const T*>(call.weight.data) + (group * sizes.out_group + o) * call.weight.stride[0];
      for (int64_t c = slice.first; c < slice.last; c += W)
        for (int64_t tap = 0; tap < sizes.taps; ++tap) {
          T* panel = to + tap / sizes.spatial_taps * size + o * W;
          int64_t column = tap % sizes.spatial_taps * width + c - slice.first;
          for (int64_t k = c; k < minimum(c + W, slice.last); ++k, ++column)
            panel[column / W * sizes.out_group * W + column % W] = from[k * call.weight.stride[1] + distances[tap]];
        }
      for (int64_t a = 0; a < call.kernel[0]; ++a) {
        const auto clear = [&](int64_t column, int64_t last) {
          for (; column < last; ++column) to[a * size + (column / W * sizes.out_group + o) * W + column % W] = T(0);
        };
        for (int64_t tap = 0; tap < sizes.spatial_taps; ++tap) clear(tap * width + slice.width(), (tap + 1) * width);
        clear(sizes.spatial_taps * width, size / sizes.out_group);
      }
    }
  }
}

// Adds the owners' sums, (owners, groups, taps, in_group, sums_row), where a row has out_group used elements, to the
// weight's gradient.
template <class T>
void add_weight_sums(const KernelCall& call, const Sizes& sizes, const std::vector<int64_t>& distances, const T* sums,
                     int64_t owners, int64_t sums_row) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  const int64_t rows = call.groups * sizes.depth;
  const int64_t panels = sizes.out_padded / L, blocks = divide_up(sizes.depth, kStage);
#pragma omp for schedule(static)
  for (int64_t item = 0; item < call.groups * panels * blocks; ++item) {
    const int64_t panel = item / blocks % panels, group = item / blocks / panels;
    const int64_t first = item % blocks * kStage, last = minimum(first + kStage, sizes.depth);
    alignas(64) T stage[kStage * L];
    for_each_weight(first, last, sizes.taps, [&](int64_t index, int64_t channel, int64_t tap) {
      const T* from = sums + (group * sizes.depth + tap * sizes.in_group + channel) * sums_row + panel * L;
      V total = load<V>(from);
      for (int64_t owner = 1; owner < owners; ++owner) total += load<V>(from + owner * rows * sums_row);
      store(stage + (index - first) * L, total);
    });
    for (int64_t lane = 0; lane < minimum(L, sizes.out_group - panel * L); ++lane) {
      const int64_t o = group * sizes.out_group + panel * L + lane;
      T* to = static_cast<T*>(call.grad_weight.data) + o * call.grad_weight.stride[0];
      for_each_weight(first, last, sizes.taps, [&](int64_t index, int64_t channel, int64_t tap) {
        to[channel * call.grad_weight.stride[1] + distances[tap]] += stage[(index - first) * L + lane];
      });
    }
  }
}

}  // namespace
}  // namespace ls3d
