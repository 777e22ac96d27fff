// Depthwise convolutions: an output channel is the sum over taps of one input channel's samples times a weight. Groups
// of one channel would make each product of matrices a product of two numbers, so all channels are treated as one
// group, and samples, weights and gradients are multiplied element by element, a vector of channels at a time.
#pragma once

#include "pieces.h"
#include "sample.h"

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
template <class Plan, class T>
[[gnu::noinline]] void add_exactly(const Plan& plan, int64_t position, const T* frame, int64_t pixel_stride,
                                   const T* factor, int64_t channels, T* to) {
  if (plan.outside(position)) {
    for (int64_t c = 0; c < channels; ++c) to[c] += factor[c] * (T(0) * plan.mask[position]);
    return;
  }
  const T* corner[Plan::kCorners];
  T weight[Plan::kCorners];
  find_corners(plan, position, frame, pixel_stride, corner);
  find_weights(plan, position, weight);
  add_blend(corner, weight, factor, channels, to);
}

// Adds the samples of a piece's taps, times their weights, to `sums`: `Count` vectors V of channels. `frames` are those
// that the taps read, and `factors` the weights of the first tap, both from the first of the channels on. Returns the
// number of samples that were left over, as whole vectors can't be read there: `left_over` has position * taps + tap.
// Inlined, it would share the caller's general registers, and store its addresses.
template <class V, int Count, class Plan, class T>
[[gnu::noinline]] int64_t add_depthwise_samples(const Plan& plan, int64_t taps, int64_t positions,
                                                const T* const* frames, const T* end, int64_t pixel_stride,
                                                const T* factors, int64_t factor_row, Sums<T> sums,
                                                int32_t* left_over) {
  constexpr int kCorners = Plan::kCorners, kLanes = sizeof(V) / sizeof(T);
  const T* last = end - Count * kLanes;
  int64_t left = 0;
  for (int64_t position = 0; position < positions; ++position, sums = sums.at(1, 0)) {
    V sum[Count];
#pragma GCC unroll 8
    for (int i = 0; i < Count; ++i) sum[i] = load<V>(sums.start + i * kLanes);
    const T* factor = factors;
    for (int64_t t = 0; t < taps; ++t, factor += factor_row) {
      const int64_t number = t * kPieceRow + position;
      const T* corner[kCorners];
      find_corners(plan, number, frames[t], pixel_stride, corner);
      if (plan.outside(number)) {
#pragma GCC unroll 8
        for (int i = 0; i < Count; ++i) sum[i] += load<V>(factor + i * kLanes) * (T(0) * plan.mask[number]);
      } else if (corner[kCorners - 1] > last) {
        left_over[left++] = int32_t(position * taps + t);
      } else {
        T weight[kCorners];
        find_weights(plan, number, weight);
#pragma GCC unroll 8
        for (int i = 0; i < Count; ++i) {
          V sample = weight[0] * load<V>(corner[0] + i * kLanes);
#pragma GCC unroll 16
          for (int k = 1; k < kCorners; ++k) sample += weight[k] * load<V>(corner[k] + i * kLanes);
          sum[i] += load<V>(factor + i * kLanes) * sample;
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < Count; ++i) store<V>(sums.data + i * kLanes, sum[i]);
  }
  return left;
}

// Adds the samples of all taps, times their weights, to `sums`, (positions, channels).
template <template <class> class Plan, class T>
void forward_depthwise(const KernelCall& call, const Sizes& sizes, const T* packed, const Tile& tile,
                       PieceScratch<Plan, T>& scratch, Sums<T> sums) {
  const int64_t run = call.channels / call.offset_groups, row = depthwise_row<T>(call), pixel = call.input_pixel;
  const bool whole = run == call.channels || run % lanes<T>() == 0;  // vectors don't reach into another offset group
  auto& plan = scratch.plan;
  Steps steps(call, sizes, tile, kPieceTaps * sizes.in_group, kPiece, lanes<T>());
  for (Step step; steps.next(step);)
    for (int64_t group = 0; group < call.offset_groups; ++group) {
      make_plan(call, tile, scratch.grid, step, group, plan);
      // So many channels at a time that the sums stay in registers.
      for (int64_t first = group * run, last = first + run, count; first < last; first += count) {
        const int64_t left = last - first, most = kMostVectors * lanes<T>(), four = 4 * lanes<T>();
        count = left >= most ? most : minimum(left, four);
        find_frames(call, sizes, tile, step, first, scratch.frames);
        const T* factors = packed + step.tap * row + first;
        Sums<T> to = sums.at(step.begin, first);
        if (!step.starts) to = to.started();
        const auto add_one = [&](int64_t tap, int64_t position) {
          add_exactly(plan, tap * kPieceRow + position, scratch.frames[tap], pixel, factors + tap * row, count,
                      to.data + position * to.row);
        };
        if (!whole) {
          to.copy_start(step.count, count);
          for (int64_t position = 0; position < step.count; ++position)
            for (int64_t tap = 0; tap < step.taps; ++tap) add_one(tap, position);
          continue;
        }
        with_vectors<T>(count, [&](auto vector, auto vectors) {
          if constexpr (vectors.value > 0) {  // always
            const int64_t left_over = add_depthwise_samples<decltype(vector), vectors.value>(
                plan, step.taps, step.count, scratch.frames, input_end<T>(call), pixel, factors, row, to,
                scratch.left_over);
            for (int64_t k = 0; k < left_over; ++k)
              add_one(scratch.left_over[k] % step.taps, scratch.left_over[k] / step.taps);
          }
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
