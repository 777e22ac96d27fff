// Between features and columns: bilinear samples of a tile (forward), and what flows back through them.
#pragma once

#include "plan.h"

namespace ls3d {
namespace {

// to[c] = sum of weight[k] * corner[k][c]
template <class T>
inline void blend(const T* const corner[4], const T weight[4], int64_t channels, T* to) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  int64_t c = 0;
  for (; c + L <= channels; c += L)
    store<V>(to + c, weight[0] * load<V>(corner[0] + c) + weight[1] * load<V>(corner[1] + c) +
                         weight[2] * load<V>(corner[2] + c) + weight[3] * load<V>(corner[3] + c));
  for (; c < channels; ++c)
    to[c] = weight[0] * corner[0][c] + weight[1] * corner[1][c] + weight[2] * corner[2][c] + weight[3] * corner[3][c];
}

template <class T>
inline void corners_of(const Plan<T>& plan, int64_t p, const T* frame, int64_t pixel, const T* corner[4]) {
  for (int k = 0; k < 4; ++k) corner[k] = frame + plan.pixel[k][p] * pixel;
}

template <class T>
inline void weights_of(const Plan<T>& plan, int64_t p, T scale, T weight[4]) {
  const T top = plan.row[0][p] * scale, bottom = plan.row[1][p] * scale;
  weight[0] = top * plan.column[0][p];
  weight[1] = top * plan.column[1][p];
  weight[2] = bottom * plan.column[0][p];
  weight[3] = bottom * plan.column[1][p];
}

// Masked samples of `channels` features of one frame, a row of `columns` for each position.
template <class T>
void sample(const Plan<T>& plan, int64_t positions, const T* frame, int64_t pixel, int64_t channels, T* columns,
            int64_t stride) {
  for (int64_t p = 0; p < positions; ++p, columns += stride) {
    if (plan.pixel[0][p] == kOutside) {
      for (int64_t c = 0; c < channels; ++c) columns[c] = T(0) * plan.mask[p];
      continue;
    }
    const T* corner[4];
    T weight[4];
    corners_of(plan, p, frame, pixel, corner);
    weights_of(plan, p, plan.mask[p], weight);
    blend(corner, weight, channels, columns);
  }
}

// Adds to the gradients of one tap's offsets and masks, from the agreement with the four corners.
template <class T>
void slopes(const Problem& problem, const Tile& tile, int64_t channel, const Plan<T>& plan, const T* agreement) {
  for_rows(problem, tile, [&](int64_t at, int64_t count, int64_t y, int64_t x) {
    const bool shifts = problem.grad_offset.data, strengths = problem.grad_mask.data;
    T* dy = shifts ? element<T>(problem.grad_offset, tile.sample, 2 * channel, tile.frame, y, x) : nullptr;
    T* dm = strengths ? element<T>(problem.grad_mask, tile.sample, channel, tile.frame, y, x) : nullptr;
    const int64_t other = problem.grad_offset.stride[1];  // from dy to dx
    const int64_t shift_step = problem.grad_offset.stride[4], strength_step = problem.grad_mask.stride[4];
    for (int64_t k = 0; k < count; ++k) {
      const int64_t p = at + k;
      const T *a = agreement + 4 * p, *row = &plan.row[0][p], *column = &plan.column[0][p];
      const T top = plan.row_inside[0][p] * (column[0] * a[0] + column[kTile] * a[1]);
      const T bottom = plan.row_inside[1][p] * (column[0] * a[2] + column[kTile] * a[3]);
      if (shifts) {
        const T left = plan.column_inside[0][p] * (row[0] * a[0] + row[kTile] * a[2]);
        const T right = plan.column_inside[1][p] * (row[0] * a[1] + row[kTile] * a[3]);
        dy[k * shift_step] += plan.mask[p] * (bottom - top);
        dy[k * shift_step + other] += plan.mask[p] * (right - left);
      }
      if (strengths) dm[k * strength_step] += row[0] * top + row[kTile] * bottom;
    }
  });
}

// The products of a column's gradient with each corner, summed over channels. With Blend the gradient gives way to the
// sample, which comes from the same loads.
template <class T, bool Blend>
inline Four<T> agree(const T* const corner[4], const T weight[4], int64_t channels, T* column) {
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

// Adds a column's gradient to the four corners.
template <class T>
inline void scatter(T* const corner[4], const T weight[4], int64_t channels, const T* gradient) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  for (int k = 0; k < 4; ++k) {
    if (weight[k] == T(0)) continue;  // always so on the regular grid, where three of four are zero
    T* to = corner[k];
    int64_t c = 0;
    for (; c + L <= channels; c += L) store<V>(to + c, load<V>(to + c) + weight[k] * load<V>(gradient + c));
    for (; c < channels; ++c) to[c] += weight[k] * gradient[c];
  }
}

// One tap's way back, for some channels of one frame; what is null isn't wanted.
template <class T>
struct WayBack {
  const T* frame;
  int64_t pixel;
  T* grad_frame;  // added to
  int64_t grad_pixel;
  T* agreement;  // [position][corner]: written
  bool samples;  // leave the masked samples where the gradients of the columns were
};

// Visits the corners of every position once, for all that is wanted of them.
template <class T>
void flow_back(const Plan<T>& plan, int64_t positions, const WayBack<T>& way, int64_t channels, T* columns,
               int64_t stride) {
  for (int64_t p = 0; p < positions; ++p, columns += stride) {
    if (plan.pixel[0][p] == kOutside) {
      if (way.agreement) store(way.agreement + 4 * p, Four<T>{});
      if (way.samples)
        for (int64_t c = 0; c < channels; ++c) columns[c] = T(0) * plan.mask[p];
      continue;
    }
    const T* corner[4];
    T weight[4];
    corners_of(plan, p, way.frame, way.pixel, corner);
    weights_of(plan, p, plan.mask[p], weight);
    if (way.grad_frame) {
      T* to[4];
      for (int k = 0; k < 4; ++k) to[k] = way.grad_frame + plan.pixel[k][p] * way.grad_pixel;
      scatter(to, weight, channels, columns);
    }
    if (way.agreement && way.samples)
      store(way.agreement + 4 * p, agree<T, true>(corner, weight, channels, columns));
    else if (way.agreement)
      store(way.agreement + 4 * p, agree<T, false>(corner, weight, channels, columns));
    else if (way.samples)
      blend(corner, weight, channels, columns);
  }
}

}  // namespace
}  // namespace ls3d
