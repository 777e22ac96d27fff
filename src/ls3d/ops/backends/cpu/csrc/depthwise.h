// Depthwise convolutions: an output channel is the sum over taps of one input channel's samples times a weight. Groups
// of one channel would make each product of matrices a product of two numbers, so all channels are treated as one
// group, and samples, weights and gradients are multiplied element by element, a vector of channels at a time.
#pragma once

#include <cstring>

#include "bfloat16.h"
#include "sample.h"
#include "sizes.h"

namespace ls3d {
namespace {

bool is_depthwise(const KernelCall& call) {
  return call.groups > 1 && call.groups == call.channels && call.groups == call.out_channels;
}

// The call as one group of all channels.
KernelCall as_one_group(const KernelCall& call) {
  KernelCall merged = call;
  merged.groups = 1;
  return merged;
}

// Most elements of a tile's sums in the forward pass: 64 KiB of floats, so that they stay in a second-level cache. Not
// tuned.
constexpr int64_t kMostSums = 1 << 14;

// Row stride of packed weights.
template <class T>
int64_t depthwise_row(const KernelCall& call) {
  return round_up(call.channels, lanes<T>());
}

// Copies the weights, whose elements are S, to `packed`, (taps, depthwise_row), with zeros after the last channel.
// Called by all threads of a parallel region.
template <class S, class T>
void pack_depthwise(const KernelCall& call, const std::vector<int64_t>& distances, T* packed) {
  const int64_t row = depthwise_row<T>(call);
#pragma omp for schedule(static)
  for (int64_t channel = 0; channel < row; ++channel) {
    const S* from = static_cast<const S*>(call.weight.data) + channel * call.weight.stride[0];
    for (size_t tap = 0; tap < distances.size(); ++tap)
      packed[tap * row + channel] = channel < call.channels ? widen(from[distances[tap]]) : T(0);
  }
}

// to[c] += factor[c] * sum over k of weight[k] * corner[k][c]
template <class T, int N>
inline void add_blend(const T* const (&corner)[N], const T (&weight)[N], const T* factor, int64_t channels, T* to) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  int64_t c = 0;
  for (; c + L <= channels; c += L) {
    V sum = weight[0] * load<V>(corner[0] + c);
#pragma GCC unroll 16
    for (int k = 1; k < N; ++k) sum += weight[k] * load<V>(corner[k] + c);
    store<V>(to + c, load<V>(to + c) + load<V>(factor + c) * sum);
  }
  for (; c < channels; ++c) {
    T sum = weight[0] * corner[0][c];
#pragma GCC unroll 16
    for (int k = 1; k < N; ++k) sum += weight[k] * corner[k][c];
    to[c] += factor[c] * sum;
  }
}

// Adds the sample of a position, times the weights, to `to`, and writes no other elements.
template <template <class> class Plan, class T>
[[gnu::noinline]] void add_exactly(const Plan<T>& plan, int64_t position, const T* frame, int64_t pixel_stride,
                                   const T* factor, int64_t channels, T* to) {
  if (plan.outside(position)) {
    for (int64_t c = 0; c < channels; ++c) to[c] += factor[c] * (T(0) * plan.mask[position]);
    return;
  }
  const T* corner[Plan<T>::kCorners];
  T weight[Plan<T>::kCorners];
  find_corners(plan, position, frame, pixel_stride, corner);
  find_weights(plan, position, weight);
  add_blend(corner, weight, factor, channels, to);
}

// Adds the samples of all taps, times their weights, to `sums`, (positions, channels).
template <template <class> class Plan, class T>
void forward_depthwise(const KernelCall& call, const Sizes& sizes, const T* packed, const Tile& tile, Plan<T>& plan,
                       T* sums, int64_t sums_row) {
  const int64_t run = call.channels / call.offset_groups;
  const bool whole = run == call.channels || run % lanes<T>() == 0;  // vectors don't reach into another offset group
  for (int64_t tap = 0; tap < sizes.taps; ++tap) {
    const int64_t a = tap / sizes.spatial_taps;
    if (!reads_clip(call, tile.frame, a)) continue;
    for (int64_t first = 0; first < call.channels; first += run) {
      const T* frame = frame_data<T>(call, tile, a) + first;
      const T* factor = packed + tap * depthwise_row<T>(call) + first;
      make_sampling_plan<false>(call, tile, tap, first / run, plan);
      with_vectors<T>(run, [&](auto vector, auto count) {
        using V = decltype(vector);
        for_each_sample<V, count.value>(
            plan, tile.size(), frame, whole ? input_end<T>(call) : frame, call.input_pixel, run,
            [&](int64_t position, int64_t c, V sum) {
              T* to = sums + position * sums_row + first + c;
              store<V>(to, load<V>(to) + load<V>(factor + c) * sum);
            },
            [&](int64_t position) {
              add_exactly(plan, position, frame, call.input_pixel, factor, run, sums + position * sums_row + first);
            });
      });
    }
  }
}

// Calls visit(first channel of the part, count, gradients of the output for the part) for the parts of some channels
// whose gradients are adjacent in `outputs`, (ceil(channels / kDepth), kTile, kRow).
template <class T, class F>
inline void for_each_part(const T* outputs, int64_t channel, int64_t count, F visit) {
  for (const int64_t end = channel + count; channel < end;) {
    const int64_t place = channel % kDepth, part = minimum(end - channel, kDepth - place);
    visit(channel, part, outputs + channel / kDepth * kTile * kRow + place);
    channel += part;
  }
}

// The gradient of the columns of one tap and some channels, (positions, kRow): that of the output times the weights.
template <class T>
void depthwise_columns_gradient(const T* factor, int64_t channel, int64_t count, int64_t positions, const T* outputs,
                                T* columns) {
  for_each_part(outputs, channel, count, [&](int64_t first, int64_t part, const T* from) {
    T* to = columns + first - channel;
    for (int64_t position = 0; position < positions; ++position)
      for (int64_t c = 0; c < part; ++c)
        to[position * kRow + c] = factor[first - channel + c] * from[position * kRow + c];
  });
}

// Adds, over positions, the products of one tap's samples and the output's gradient to the sums of the tap's weights.
template <class T>
void add_depthwise_products(int64_t channel, int64_t count, int64_t positions, const T* columns, const T* outputs,
                            T* sums) {
  for_each_part(outputs, channel, count, [&](int64_t first, int64_t part, const T* from) {
    const T* samples = columns + first - channel;
    T* to = sums + first - channel;
    for (int64_t position = 0; position < positions; ++position)
      for (int64_t c = 0; c < part; ++c) to[c] += samples[position * kRow + c] * from[position * kRow + c];
  });
}

// Adds the owners' sums, (owners, taps, channels), to the weight's gradient. Called by all threads of a parallel
// region.
template <class T>
void add_depthwise_sums(const KernelCall& call, const std::vector<int64_t>& distances, const T* sums, int64_t owners) {
  const int64_t taps = distances.size();
#pragma omp for schedule(static)
  for (int64_t channel = 0; channel < call.channels; ++channel) {
    T* to = static_cast<T*>(call.grad_weight.data) + channel * call.grad_weight.stride[0];
    for (int64_t tap = 0; tap < taps; ++tap) {
      T total = 0;
      for (int64_t owner = 0; owner < owners; ++owner) total += sums[(owner * taps + tap) * call.channels + channel];
      to[distances[tap]] += total;
    }
  }
}

}  // namespace
}  // namespace ls3d
