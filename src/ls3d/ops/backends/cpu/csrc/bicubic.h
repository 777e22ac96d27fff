// Bicubic samples: the plan of a tap, and the gradients of its offsets and masks. The kernel is separable, and its
// parameter a is -0.75 (Keys, "Cubic convolution interpolation for digital image processing", 1981).
#pragma once

#include <cmath>

#include "sampling_plan.h"

namespace ls3d {
namespace {

constexpr int64_t kCubic = 4;  // rows, and columns, that a sample reads

// Rows and columns of the 4 x 4 corners of each position. One outside the frame has weight and slope zero and the
// number of a neighboring one inside it; a position that samples zero has row_start[0] = kOutside.
template <class Element, int64_t Row>
struct BicubicRows {
  using T = Element;
  using Piece = BicubicRows<T, kPlanRow>;  // for several taps
  static constexpr int kCorners = int(kCubic * kCubic);

  int32_t row_start[kCubic][Row];  // y * width
  int32_t column_number[kCubic][Row];
  T row[kCubic][Row], column[kCubic][Row];              // weights
  T row_slope[kCubic][Row], column_slope[kCubic][Row];  // their derivatives by the position
  T mask[Row];

  bool outside(int64_t position) const { return row_start[0][position] == kOutside; }
};

template <class T>
using BicubicPlan = BicubicRows<T, kTileRow>;

// Weights of the four pixels around a position, and their derivatives; `part` is its distance from the second of them.
template <class T>
inline void cubic_weights(T part, T weight[kCubic], T slope[kCubic]) {
  const T a = T(-0.75), rest = T(1) - part;
  weight[0] = a * part * rest * rest;
  weight[1] = ((a + T(2)) * part - (a + T(3))) * part * part + T(1);
  weight[2] = ((a + T(2)) * rest - (a + T(3))) * rest * rest + T(1);
  weight[3] = a * rest * part * part;
  slope[0] = a * rest * (T(1) - T(3) * part);
  slope[1] = (T(3) * (a + T(2)) * part - T(2) * (a + T(3))) * part;
  slope[2] = (T(2) * (a + T(3)) - T(3) * (a + T(2)) * rest) * rest;
  slope[3] = a * part * (T(2) - T(3) * part);
}

// As the function of the same name for bilinear samples.
template <bool Gradients, class T, int64_t Row>
inline void fill_plan(BicubicRows<T, Row>& plan, int64_t first, const Tap<T> tap) {
  const int32_t height = tap.height, width = tap.width;
  for (int64_t k = 0; k < tap.count; ++k) {
    T y = tap.one_y_at(k), x = tap.one_x_at(k);
    const bool inside = (y > T(-2)) & (y < T(height) + T(1)) & (x > T(-2)) & (x < T(width) + T(1));
    y = inside ? y : T(0);
    x = inside ? x : T(0);
    const T top = std::floor(y), left = std::floor(x);
    const int64_t position = first + k;
    T row[kCubic], column[kCubic], row_slope[kCubic], column_slope[kCubic];
    cubic_weights(y - top, row, row_slope);
    cubic_weights(x - left, column, column_slope);
    for (int64_t i = 0; i < kCubic; ++i) {
      const int32_t r = int32_t(top) - 1 + int32_t(i), c = int32_t(left) - 1 + int32_t(i);
      const bool row_inside = inside & (r >= 0) & (r < height), column_inside = inside & (c >= 0) & (c < width);
      const int32_t near_row = r < 0 ? 0 : r < height ? r : height - 1;
      plan.row_start[i][position] = near_row * width;
      plan.column_number[i][position] = c < 0 ? 0 : c < width ? c : width - 1;
      plan.row[i][position] = row_inside ? row[i] : T(0);
      plan.column[i][position] = column_inside ? column[i] : T(0);
      if (!Gradients) continue;
      plan.row_slope[i][position] = row_inside ? row_slope[i] : T(0);
      plan.column_slope[i][position] = column_inside ? column_slope[i] : T(0);
    }
    if (!inside) plan.row_start[0][position] = kOutside;
    plan.mask[position] = tap.one_mask_at(k);
  }
}

// The number of a position's corner k = 4 i + j in the frame.
template <class T, int64_t Row>
inline int64_t pixel_of(const BicubicRows<T, Row>& plan, int64_t position, int k) {
  return plan.row_start[k / kCubic][position] + plan.column_number[k % kCubic][position];
}

// As the function of the same name for bilinear samples.
template <class T, int64_t Row>
inline void find_weights(const BicubicRows<T, Row>& plan, int64_t position, T* weight) {
  for (int64_t i = 0; i < kCubic; ++i) {
    const T row = plan.row[i][position] * plan.mask[position];
    for (int64_t j = 0; j < kCubic; ++j) weight[kCubic * i + j] = row * plan.column[j][position];
  }
}

// The dot products, over channels, of a column's gradient with the sample without its mask, with the sample's
// derivative by y, and with that by x; the fourth value is zero. With Blend the gradient is overwritten by the sample.
template <bool Blend, class T>
inline Four<T> dot_products(const BicubicPlan<T>& plan, int64_t position, const T* const* corner, const T*,
                            int64_t channels, T* column) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  T row[kCubic], row_slope[kCubic], across[kCubic], across_slope[kCubic];
  for (int64_t i = 0; i < kCubic; ++i) {
    row[i] = plan.row[i][position];
    row_slope[i] = plan.row_slope[i][position];
    across[i] = plan.column[i][position];
    across_slope[i] = plan.column_slope[i][position];
  }
  // The sample of some channels and its derivatives; features(k) are those of corner k.
  const auto interpolate = [&](auto features, auto& value, auto& by_y, auto& by_x) {
    for (int64_t i = 0; i < kCubic; ++i) {
      auto along = across[0] * features(kCubic * i), slope = across_slope[0] * features(kCubic * i);
      for (int64_t j = 1; j < kCubic; ++j) {
        along += across[j] * features(kCubic * i + j);
        slope += across_slope[j] * features(kCubic * i + j);
      }
      value += row[i] * along;
      by_y += row_slope[i] * along;
      by_x += row[i] * slope;
    }
  };
  const T mask = plan.mask[position];
  V sum[4] = {};
  int64_t c = 0;
  for (; c + L <= channels; c += L) {
    V value = {}, by_y = {}, by_x = {};
    interpolate([&](int64_t k) { return load<V>(corner[k] + c); }, value, by_y, by_x);
    const V gradient = load<V>(column + c);
    sum[0] += gradient * value;
    sum[1] += gradient * by_y;
    sum[2] += gradient * by_x;
    if (Blend) store<V>(column + c, mask * value);
  }
  Four<T> total = {};
  if (channels >= L) total = sums_of<T>(sum);
  for (; c < channels; ++c) {
    T value = 0, by_y = 0, by_x = 0;
    interpolate([&](int64_t k) { return corner[k][c]; }, value, by_y, by_x);
    total += column[c] * Four<T>{value, by_y, by_x, T(0)};
    if (Blend) column[c] = mask * value;
  }
  return total;
}

// Adds to the gradients of one tap's offsets and masks. `dots`, (positions, 4), are those of dot_products; `channel` is
// the tap's channel of the mask.
template <class T>
void add_offset_and_mask_gradients(const KernelCall& call, const Tile& tile, int64_t channel,
                                   const BicubicPlan<T>& plan, const T* dots) {
  for_each_row(call, tile, [&](int64_t first, int64_t count, int64_t y, int64_t x) {
    const bool need_offset = call.grad_offset.data, need_mask = call.grad_mask.data;
    T* dy = need_offset ? element<T>(call.grad_offset, tile.sample, 2 * channel, tile.frame, y, x) : nullptr;
    T* dm = need_mask ? element<T>(call.grad_mask, tile.sample, channel, tile.frame, y, x) : nullptr;
    const int64_t dy_to_dx = call.grad_offset.stride[1];
    const int64_t offset_step = call.grad_offset.stride[4], mask_step = call.grad_mask.stride[4];
    for (int64_t k = 0; k < count; ++k) {
      const T* dot = dots + 4 * (first + k);
      const T mask = plan.mask[first + k];
      if (need_offset) {
        dy[k * offset_step] += mask * dot[1];
        dy[k * offset_step + dy_to_dx] += mask * dot[2];
      }
      if (need_mask) dm[k * mask_step] += dot[0];
    }
  });
}

}  // namespace
}  // namespace ls3d
