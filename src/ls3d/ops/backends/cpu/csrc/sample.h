// Samples of a tile, written to columns (forward), and the gradients that columns pass on (backward).
//
// Columns are a matrix with a row for each position of the tile and a column for each pair of a tap and a channel.
#pragma once

#include "bicubic.h"
#include "sizes.h"

namespace ls3d {
namespace {

// to[c] = sum over k of weight[k] * corner[k][c]
template <class T, int N>
inline void blend(const T* const (&corner)[N], const T (&weight)[N], int64_t channels, T* to) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  int64_t c = 0;
  for (; c + L <= channels; c += L) {
    V sum = weight[0] * load<V>(corner[0] + c);
#pragma GCC unroll 16
    for (int k = 1; k < N; ++k) sum += weight[k] * load<V>(corner[k] + c);
    store<V>(to + c, sum);
  }
  for (; c < channels; ++c) {
    T sum = weight[0] * corner[0][c];
#pragma GCC unroll 16
    for (int k = 1; k < N; ++k) sum += weight[k] * corner[k][c];
    to[c] = sum;
  }
}

// The number of a position's corner k in the frame.
template <class T>
inline int64_t pixel_of(const BilinearPlan<T>& plan, int64_t position, int k) {
  return plan.pixel[k][position];
}

// The weights of a position's corners, times the mask.
template <class T>
inline void find_weights(const BilinearPlan<T>& plan, int64_t position, T* weight) {
  for (int k = 0; k < 4; ++k) weight[k] = plan.weight[k][position];
}

// The addresses of a position's corners.
template <template <class> class Plan, class T, class P>
inline void find_corners(const Plan<T>& plan, int64_t position, P* frame, int64_t pixel_stride, P** corner) {
  for (int k = 0; k < Plan<T>::kCorners; ++k) corner[k] = frame + pixel_of(plan, position, k) * pixel_stride;
}

// The sample of a position that is outside the frame, or of which nothing may be read beyond the channels.
template <template <class> class Plan, class T>
[[gnu::noinline]] void sample_exactly(const Plan<T>& plan, int64_t position, const T* frame, int64_t pixel_stride,
                                      int64_t channels, T* to) {
  if (plan.outside(position)) {
    for (int64_t c = 0; c < channels; ++c) to[c] = T(0) * plan.mask[position];
    return;
  }
  const T* corner[Plan<T>::kCorners];
  T weight[Plan<T>::kCorners];
  find_corners(plan, position, frame, pixel_stride, corner);
  find_weights(plan, position, weight);
  blend(corner, weight, channels, to);
}

// The last pixel of a frame of which `count` elements can be read before `end`; -1 if there is none.
template <class T>
inline int64_t last_readable(const T* frame, const T* end, int64_t count, int64_t pixel_stride) {
  return end - frame < count ? -1 : (end - frame - count) / pixel_stride;
}

// Calls add(position, c, sample) with the samples, times the mask, of each position: `Count` vectors V, the first
// channel of each being c, or as many as the channels need if Count is 0. Calls add_exactly(position) instead for a
// position that is outside the frame, or if not as many elements can be read before `end`.
template <class V, int Count, template <class> class Plan, class T, class F, class G>
[[gnu::always_inline]] inline void for_each_sample(const Plan<T>& plan, int64_t positions, const T* frame, const T* end,
                                                   int64_t pixel_stride, int64_t channels, F add, G add_exactly) {
  constexpr int64_t L = sizeof(V) / sizeof(T);
  const int64_t count = Count ? Count : divide_up(channels, L);
  const int64_t last = last_readable(frame, end, count * L, pixel_stride);
  for (int64_t position = 0; position < positions; ++position) {
    // The last corner is the last one in memory.
    if (plan.outside(position) || pixel_of(plan, position, Plan<T>::kCorners - 1) > last) {
      add_exactly(position);
      continue;
    }
    const T* corner[Plan<T>::kCorners];
    T weight[Plan<T>::kCorners];
    find_corners(plan, position, frame, pixel_stride, corner);
    find_weights(plan, position, weight);
    for (int64_t c = 0; c < count * L; c += L) {
      V sum = weight[0] * load<V>(corner[0] + c);
#pragma GCC unroll 16
      for (int k = 1; k < Plan<T>::kCorners; ++k) sum += weight[k] * load<V>(corner[k] + c);
      add(position, c, sum);
    }
  }
}

// Calls run(V(), Count()) with arguments of for_each_sample that suit a number of channels; Count has the number as a
// type.
template <class T, class F>
inline void with_vectors(int64_t channels, F run) {
  using V = Vector<T>;
  using Eight = typename VectorOf<T, 8 * int(sizeof(T))>::type;
  const int64_t vectors = divide_up(channels, lanes<T>());
  if (channels <= 4 && lanes<T>() > 4) return run(Four<T>(), std::integral_constant<int, 1>());
  if (channels <= 8 && lanes<T>() > 8) return run(Eight(), std::integral_constant<int, 1>());
  if (vectors == 1) return run(V(), std::integral_constant<int, 1>());
  if (channels > 16 && channels <= 24 && lanes<T>() > 8) return run(Eight(), std::integral_constant<int, 3>());
  if (vectors == 2) return run(V(), std::integral_constant<int, 2>());
  if (vectors == 4) return run(V(), std::integral_constant<int, 4>());
  run(V(), std::integral_constant<int, 0>());
}

// Writes the samples, times the mask, of `channels` channels of `frame` to `columns`, whose row stride is `stride`, and
// up to kPad - 1 elements after them. `end` is the end of the input.
template <template <class> class Plan, class T>
void sample(const Plan<T>& plan, int64_t positions, const T* frame, const T* end, int64_t pixel_stride,
            int64_t channels, T* columns, int64_t stride) {
  with_vectors<T>(channels, [&](auto vector, auto count) {
    using V = decltype(vector);
    for_each_sample<V, count.value>(
        plan, positions, frame, end, pixel_stride, channels,
        [&](int64_t position, int64_t c, V sum) { store<V>(columns + position * stride + c, sum); },
        [&](int64_t position) {
          sample_exactly(plan, position, frame, pixel_stride, channels, columns + position * stride);
        });
  });
}

#ifdef LS3D_BFLOAT16

// As the other function, for samples that are rounded to bfloat16.
template <template <class> class Plan>
LS3D_BFLOAT16 void sample(const Plan<float>& plan, int64_t positions, const float* frame, const float* end,
                          int64_t pixel_stride, int64_t channels, Bfloat16* columns, int64_t stride) {
  with_vectors<float>(channels, [&](auto vector, auto count) LS3D_BFLOAT16 {
    for_each_sample<decltype(vector), count.value>(
        plan, positions, frame, end, pixel_stride, channels,
        [&](int64_t position, int64_t c, decltype(vector) sum)
            LS3D_BFLOAT16 { store_rounded(columns + position * stride + c, sum); },
        [&](int64_t position) {
          float exact[2 * kDepth];
          sample_exactly(plan, position, frame, pixel_stride, channels, exact);
          for (int64_t c = 0; c < channels; ++c) columns[position * stride + c] = to_bfloat16(exact[c]);
        });
  });
}

#endif

// Adds to the gradients of one tap's offsets and masks. `dots`, (positions, 4), are the products of
// dot_products; `channel` is the tap's channel of the mask.
template <class T>
void add_offset_and_mask_gradients(const KernelCall& call, const Tile& tile, int64_t channel,
                                   const BilinearPlan<T>& plan, const T* dots) {
  for_each_row(call, tile, [&](int64_t first, int64_t count, int64_t y, int64_t x) {
    const bool need_offset = call.grad_offset.data, need_mask = call.grad_mask.data;
    T* dy = need_offset ? element<T>(call.grad_offset, tile.sample, 2 * channel, tile.frame, y, x) : nullptr;
    T* dm = need_mask ? element<T>(call.grad_mask, tile.sample, channel, tile.frame, y, x) : nullptr;
    const int64_t dy_to_dx = call.grad_offset.stride[1];
    const int64_t offset_step = call.grad_offset.stride[4], mask_step = call.grad_mask.stride[4];
    for (int64_t k = 0; k < count; ++k) {
      const int64_t position = first + k;
      const T *dot = dots + 4 * position, *row = &plan.row[0][position], *column = &plan.column[0][position];
      const T top = plan.row_inside[0][position] * (column[0] * dot[0] + column[kPlanRow] * dot[1]);
      const T bottom = plan.row_inside[1][position] * (column[0] * dot[2] + column[kPlanRow] * dot[3]);
      if (need_offset) {
        const T left = plan.column_inside[0][position] * (row[0] * dot[0] + row[kPlanRow] * dot[2]);
        const T right = plan.column_inside[1][position] * (row[0] * dot[1] + row[kPlanRow] * dot[3]);
        dy[k * offset_step] += plan.mask[position] * (bottom - top);
        dy[k * offset_step + dy_to_dx] += plan.mask[position] * (right - left);
      }
      if (need_mask) dm[k * mask_step] += row[0] * top + row[kPlanRow] * bottom;
    }
  });
}

// The dot products, over channels, of a column's gradient with the features of each corner. With Blend the gradient is
// overwritten by the sample, which needs the same loads.
template <bool Blend, class T>
inline Four<T> dot_products(const BilinearPlan<T>&, int64_t, const T* const* corner, const T* weight, int64_t channels,
                            T* column) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  V sum[4] = {};
  int64_t c = 0;
  for (; c + L <= channels; c += L) {
    const V gradient = load<V>(column + c);
    V sample = {};
    for (int k = 0; k < 4; ++k) {
      const V feature = load<V>(corner[k] + c);
      sum[k] += gradient * feature;
      sample += weight[k] * feature;
    }
    if (Blend) store(column + c, sample);
  }
  Four<T> total = {};
  if (channels >= L) total = sums_of<T>(sum);
  for (; c < channels; ++c) {
    const Four<T> feature = {corner[0][c], corner[1][c], corner[2][c], corner[3][c]};
    total += column[c] * feature;
    if (Blend)
      column[c] = weight[0] * feature[0] + weight[1] * feature[1] + weight[2] * feature[2] + weight[3] * feature[3];
  }
  return total;
}

// Adds a column's gradient, times the corners' weights, to the gradients of the corners.
template <class T, int N>
inline void scatter(T* const (&corner)[N], const T (&weight)[N], int64_t channels, const T* gradient) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  for (int k = 0; k < N; ++k) {
    if (weight[k] == T(0)) continue;  // on the regular grid all but one are zero
    T* to = corner[k];
    int64_t c = 0;
    for (; c + L <= channels; c += L) store<V>(to + c, load<V>(to + c) + weight[k] * load<V>(gradient + c));
    for (; c < channels; ++c) to[c] += weight[k] * gradient[c];
  }
}

// What backpropagate_tap reads and writes, for some channels of one tap and of the frame that it reads.
template <class T>
struct TapGradient {
  const T* frame;  // features, (H, W, channels)
  int64_t pixel_stride;
  T* grad_frame;  // (H, W, channels), added to; null if it isn't needed
  int64_t grad_pixel_stride;
  T* dots;             // (positions, 4), written: see dot_products; null if they aren't needed
  bool write_samples;  // overwrite the columns' gradients by the samples times the mask
};

// Passes the gradients of one tap's columns on, with one visit to the corners of each position.
template <template <class> class Plan, class T>
void backpropagate_tap(const Plan<T>& plan, int64_t positions, const TapGradient<T>& tap, int64_t channels, T* columns,
                       int64_t stride) {
  for (int64_t position = 0; position < positions; ++position, columns += stride) {
    if (plan.outside(position)) {
      if (tap.dots) store(tap.dots + 4 * position, Four<T>{});
      if (tap.write_samples)
        for (int64_t c = 0; c < channels; ++c) columns[c] = T(0) * plan.mask[position];
      continue;
    }
    const T* corner[Plan<T>::kCorners];
    T weight[Plan<T>::kCorners];
    find_corners(plan, position, tap.frame, tap.pixel_stride, corner);
    find_weights(plan, position, weight);
    if (tap.grad_frame) {
      T* to[Plan<T>::kCorners];
      find_corners(plan, position, tap.grad_frame, tap.grad_pixel_stride, to);
      scatter(to, weight, channels, columns);
    }
    if (tap.dots && tap.write_samples)
      store(tap.dots + 4 * position, dot_products<true>(plan, position, corner, weight, channels, columns));
    else if (tap.dots)
      store(tap.dots + 4 * position, dot_products<false>(plan, position, corner, weight, channels, columns));
    else if (tap.write_samples)
      blend(corner, weight, channels, columns);
  }
}

}  // namespace
}  // namespace ls3d
