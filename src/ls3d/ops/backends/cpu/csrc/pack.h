// Weights between torch's order (output channel, input channel, tap) and the kernel's, through small staging blocks,
// so that both sides are walked along their cache lines. Each function is called by all threads of a parallel region.
#pragma once

#include <cstring>

#include "gemm.h"
#include "layout.h"

namespace ls3d {
namespace {

constexpr int64_t kStage = 192;               // elements of an output channel that are staged at a time
constexpr int64_t kStageRow = kStage + kPad;  // row stride: 13 cache lines, an odd number

// Calls visit(e, channel, tap) for elements [first, last) of an output channel, in torch's order.
template <class F>
inline void for_elements(int64_t first, int64_t last, int64_t taps, F visit) {
  int64_t channel = first / taps, tap = first % taps;
  for (int64_t e = first; e < last; ++e) {
    visit(e, channel, tap);
    if (++tap == taps) ++channel, tap = 0;
  }
}

// Forward: panels [group][panel][tap][channel][lane], zero beyond the last output channel.
template <class T>
void pack_forward(const Problem& p, const Layout& l, const std::vector<int64_t>& starts, T* packed) {
  constexpr int W = panel_width<T>();
  const int64_t panels = parts_of(l.out_group, W), chunks = parts_of(l.depth, kStage);
#pragma omp for schedule(static)
  for (int64_t item = 0; item < p.groups * panels * chunks; ++item) {
    const int64_t panel = item / chunks % panels, group = item / chunks / panels;
    const int64_t first = item % chunks * kStage, last = minimum(first + kStage, l.depth);
    alignas(64) T stage[W * kStageRow];
    for (int64_t lane = 0; lane < W; ++lane) {
      T* row = stage + lane * kStageRow;
      const int64_t o = panel * W + lane;
      const T* from = static_cast<const T*>(p.weight.data) + (group * l.out_group + o) * p.weight.stride[0];
      if (o >= l.out_group)
        std::memset(row, 0, kStage * sizeof(T));
      else
        for_elements(first, last, l.taps, [&](int64_t e, int64_t channel, int64_t tap) {
          row[e - first] = from[channel * p.weight.stride[1] + starts[tap]];
        });
    }
    T* to = packed + (group * panels + panel) * l.depth * W;
    for_elements(first, last, l.taps, [&](int64_t e, int64_t channel, int64_t tap) {
      T* line = to + (tap * l.in_group + channel) * W;
      for (int64_t lane = 0; lane < W; ++lane) line[lane] = stage[lane * kStageRow + e - first];
    });
  }
}

// Channels [first, last) of every group, and where their packed weights start.
struct Slice {
  int64_t first, last;
  int64_t packed;
  int64_t width() const { return last - first; }
};

// Elements of a slice's packed weights at one group and temporal tap.
template <class T>
int64_t transposed_size(const Layout& l, const Slice& slice) {
  return round_up(l.spatial * slice.width(), panel_width<T>()) * l.out_group;
}

// Backward: for each slice, panels [group][temporal tap][panel][output channel][lane]; the columns of the panels are
// (spatial tap, channel). The gradient of the columns is the output's times these.
template <class T>
void pack_transposed(const Problem& p, const Layout& l, const std::vector<int64_t>& starts,
                     const std::vector<Slice>& slices, T* packed) {
  constexpr int W = panel_width<T>();
  constexpr int64_t kRun = 16;  // output channels: what is written for them lies together
  const int64_t chunks = parts_of(l.out_group, kRun), count = slices.size();
#pragma omp for schedule(static)
  for (int64_t item = 0; item < p.groups * count * chunks; ++item) {
    const Slice& slice = slices[item / chunks % count];
    const int64_t group = item / chunks / count, size = transposed_size<T>(l, slice);
    const int64_t begin = item % chunks * kRun, end = minimum(begin + kRun, l.out_group);
    T* to = packed + slice.packed + group * p.kernel[0] * size;
    for (int64_t o = begin; o < end; ++o) {
      const T* from = static_cast<const T*>(p.weight.data) + (group * l.out_group + o) * p.weight.stride[0];
      for (int64_t c = slice.first; c < slice.last; c += W)
        for (int64_t tap = 0; tap < l.taps; ++tap) {
          T* panel = to + tap / l.spatial * size + o * W;
          int64_t column = tap % l.spatial * slice.width() + c - slice.first;
          for (int64_t k = c; k < minimum(c + W, slice.last); ++k, ++column)
            panel[column / W * l.out_group * W + column % W] = from[k * p.weight.stride[1] + starts[tap]];
        }
      for (int64_t a = 0; a < p.kernel[0]; ++a)
        for (int64_t column = l.spatial * slice.width(); column % W != 0; ++column)
          to[a * size + (column / W * l.out_group + o) * W + column % W] = T(0);
    }
  }
}

// Adds sums [owner][group][tap][channel], each a row of output channels, to the weight's gradient.
template <class T>
void add_sums(const Problem& p, const Layout& l, const std::vector<int64_t>& starts, const T* sums, int64_t owners,
              int64_t sums_row) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  const int64_t rows = p.groups * l.depth, panels = l.out_padded / L, chunks = parts_of(l.depth, kStage);
#pragma omp for schedule(static)
  for (int64_t item = 0; item < p.groups * panels * chunks; ++item) {
    const int64_t panel = item / chunks % panels, group = item / chunks / panels;
    const int64_t first = item % chunks * kStage, last = minimum(first + kStage, l.depth);
    alignas(64) T stage[kStage * L];
    for_elements(first, last, l.taps, [&](int64_t e, int64_t channel, int64_t tap) {
      const T* from = sums + (group * l.depth + tap * l.in_group + channel) * sums_row + panel * L;
      V total = load<V>(from);
      for (int64_t owner = 1; owner < owners; ++owner) total += load<V>(from + owner * rows * sums_row);
      store(stage + (e - first) * L, total);
    });
    for (int64_t lane = 0; lane < minimum(L, l.out_group - panel * L); ++lane) {
      const int64_t o = group * l.out_group + panel * L + lane;
      T* to = static_cast<T*>(p.grad_weight.data) + o * p.grad_weight.stride[0];
      for_elements(first, last, l.taps, [&](int64_t e, int64_t channel, int64_t tap) {
        to[channel * p.grad_weight.stride[1] + starts[tap]] += stage[(e - first) * L + lane];
      });
    }
  }
}

}  // namespace
}  // namespace ls3d
