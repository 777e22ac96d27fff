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

// agreement[4 * p + k] = the products of the columns' gradient with corner k, summed over channels.
template <class T>
void agree(const Plan<T>& plan, int64_t positions, const T* frame, int64_t pixel, int64_t channels, const T* gradient,
           int64_t stride, T* agreement) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  for (int64_t p = 0; p < positions; ++p, gradient += stride, agreement += 4) {
    if (plan.pixel[0][p] == kOutside) {
      store(agreement, Four<T>{});
      continue;
    }
    const T* corner[4];
    corners_of(plan, p, frame, pixel, corner);
    V sum[4] = {};
    int64_t c = 0;
    for (; c + L <= channels; c += L) {
      const V g = load<V>(gradient + c);
      for (int k = 0; k < 4; ++k) sum[k] += g * load<V>(corner[k] + c);
    }
    Four<T> total = {};
    if (channels >= L) total = sums_of<T>(sum);
    for (; c < channels; ++c) {
      const Four<T> corners = {corner[0][c], corner[1][c], corner[2][c], corner[3][c]};
      total += gradient[c] * corners;
    }
    store(agreement, total);
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

// Adds the columns' gradient of one tap to the four corners.
template <class T>
void scatter(const Plan<T>& plan, int64_t positions, const T* gradient, int64_t stride, int64_t channels, T* frame,
             int64_t pixel) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  for (int64_t p = 0; p < positions; ++p, gradient += stride) {
    if (plan.pixel[0][p] == kOutside) continue;
    T weight[4];
    weights_of(plan, p, plan.mask[p], weight);
    for (int k = 0; k < 4; ++k) {
      if (weight[k] == T(0)) continue;  // always so on the regular grid, where three of four are zero
      T* to = frame + plan.pixel[k][p] * pixel;
      int64_t c = 0;
      for (; c + L <= channels; c += L) store<V>(to + c, load<V>(to + c) + weight[k] * load<V>(gradient + c));
      for (; c < channels; ++c) to[c] += weight[k] * gradient[c];
    }
  }
}

}  // namespace
}  // namespace ls3d
