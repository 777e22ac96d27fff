// The sampling plan: where one tap samples at each position of a tile. Computed once and used for all channels.
#pragma once

#include "bfloat16.h"

namespace ls3d {
namespace {

// Most positions in a tile. A multiple of kRows (12 and 6), so that a full tile consists of full register tiles; a tile
// of columns (kTile x kRow floats, sizes.h) is 255 KiB and stays in a second-level cache of 512 KiB. Not tuned further.
constexpr int64_t kTile = 240;
// Elements of a row of a plan: plans are written by whole vectors.
constexpr int64_t kPlanRow = kTile + 32;

// A range of the output positions of one frame, in row-major order.
struct Tile {
  int64_t sample, frame;  // frame of the output
  int64_t begin, end;     // position y * out_width + x
  int64_t size() const { return end - begin; }
};

// The pixel number of a position whose sample is zero because it isn't within -1 < y < H and -1 < x < W. Its features
// are never read, so that a NaN in them can't spread.
constexpr int32_t kOutside = -1;

// Pixels and weights of the four corners of each position. A corner outside the frame has weight zero and the number of
// a neighboring pixel inside it; a position that samples zero has pixel[0] = kOutside.
template <class T>
struct BilinearPlan {
  static constexpr int kCorners = 4;

  int32_t pixel[4][kPlanRow];    // y * width + x of (top, left), (top, right), (bottom, left), (bottom, right)
  T weight[4][kPlanRow];         // bilinear weight of each corner, times the mask
  T row[2][kPlanRow];            // bilinear weight of the top and of the bottom row
  T column[2][kPlanRow];         // bilinear weight of the left and of the right column
  T row_inside[2][kPlanRow];     // 1 if that row is inside the frame, else 0
  T column_inside[2][kPlanRow];  // 1 if that column is inside the frame, else 0
  T mask[kPlanRow];

  bool outside(int64_t position) const { return pixel[0][position] == kOutside; }
};

// Fills the plan for `count` positions of one row of the output, the first one being position `first` of the tile, and
// for the positions after them up to a whole vector. (y0, x0) is the grid position of the first one; `step` is the
// distance of grid positions. What only the backward pass needs is left out unless `Gradients`.
template <bool Gradients, class T>
inline void plan_row(BilinearPlan<T>& plan, int64_t first, int64_t count, T y0, T x0, T step, int32_t height,
                     int32_t width, const T* dy, const T* dx, int64_t offset_step, const T* mask, int64_t mask_step) {
  using V = Vector<T>;
  using I = Integers<T>;
  constexpr int L = lanes<T>();
  const V zero = {}, one = zero + T(1);
  for (int64_t k = 0; k < count; k += L) {
    V y = y0 + load_some(dy + k * offset_step, offset_step, count - k);
    V x = x0 + (T(k) + indices<T>()) * step + load_some(dx + k * offset_step, offset_step, count - k);
    const I inside = (y > T(-1)) & (y < T(height)) & (x > T(-1)) & (x < T(width));
    y = inside ? y : zero;
    x = inside ? x : zero;
    const I r0 = floor_of<T>(y), c0 = floor_of<T>(x), r1 = r0 + 1, c1 = c0 + 1;
    const V below = y - to_real<T>(r0), right = x - to_real<T>(c0);
    const I r0_inside = inside & (r0 >= 0), r1_inside = inside & (r1 < height);
    const I c0_inside = inside & (c0 >= 0), c1_inside = inside & (c1 < width);
    const I top_row = (r0 & (r0 >= 0)) * width, bottom_row = (r1 < height ? r1 : I{} + (height - 1)) * width;
    const I left_column = c0 & (c0 >= 0), right_column = c1 < width ? c1 : I{} + (width - 1);
    const int64_t position = first + k;
    store_integers<T>(plan.pixel[0] + position, inside ? top_row + left_column : I{} + kOutside);
    store_integers<T>(plan.pixel[1] + position, top_row + right_column);
    store_integers<T>(plan.pixel[2] + position, bottom_row + left_column);
    store_integers<T>(plan.pixel[3] + position, bottom_row + right_column);
    const V strength = load_some(mask + k * mask_step, mask_step, count - k);
    const V row[2] = {r0_inside ? one - below : zero, r1_inside ? below : zero};
    const V column[2] = {c0_inside ? one - right : zero, c1_inside ? right : zero};
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) store<V>(plan.weight[2 * i + j] + position, row[i] * strength * column[j]);
    store<V>(plan.mask + position, strength);
    if (!Gradients) continue;
    for (int i = 0; i < 2; ++i) {
      store<V>(plan.row[i] + position, row[i]);
      store<V>(plan.column[i] + position, column[i]);
    }
    store<V>(plan.row_inside[0] + position, r0_inside ? one : zero);
    store<V>(plan.row_inside[1] + position, r1_inside ? one : zero);
    store<V>(plan.column_inside[0] + position, c0_inside ? one : zero);
    store<V>(plan.column_inside[1] + position, c1_inside ? one : zero);
  }
}

// Calls visit(first position in the tile, count, y, x) for each row of the output that the tile touches.
template <class F>
inline void for_each_row(const KernelCall& call, const Tile& tile, F visit) {
  const int64_t width = call.out_size[2];
  int64_t y = tile.begin / width, x = tile.begin % width;
  for (int64_t position = tile.begin; position < tile.end; ++y, x = 0) {
    const int64_t count = tile.end - position < width - x ? tile.end - position : width - x;
    visit(position - tile.begin, count, y, x);
    position += count;
  }
}

template <class T>
inline T* element(const Array& array, int64_t n, int64_t c, int64_t t, int64_t y, int64_t x) {
  const int64_t* s = array.stride;
  return static_cast<T*>(array.data) + n * s[0] + c * s[1] + t * s[2] + y * s[3] + x * s[4];
}

// The elements of a row, which is part of a tile's: from[0], from[step], ... of type T, or of bfloat16 if `narrow`.
// Then they are written to `buffer`, and `step` becomes 1.
template <class T>
const T* read_row(const Array& array, bool narrow, int64_t n, int64_t c, int64_t t, int64_t y, int64_t x, int64_t count,
                  T* buffer, int64_t& step) {
  step = array.stride[4];
  if (!narrow) return element<T>(array, n, c, t, y, x);
  const Bfloat16* from = element<Bfloat16>(array, n, c, t, y, x);
  for (int64_t k = 0; k < count; ++k) buffer[k] = widen(from[k * step]);
  step = 1;
  return buffer;
}

// The plan of tap number `tap`, (a * kH + i) * kW + j, in offset group `group`; see plan_row.
template <bool Gradients, template <class> class Plan, class T>
void make_sampling_plan(const KernelCall& call, const Tile& tile, int64_t tap, int64_t group, Plan<T>& plan) {
  const int64_t taps = call.kernel[0] * call.kernel[1] * call.kernel[2];
  const int64_t j = tap % call.kernel[2], i = tap / call.kernel[2] % call.kernel[1];
  const int64_t channel = group * taps + tap;
  const auto height = int32_t(call.in_size[1]), width = int32_t(call.in_size[2]);
  const T one = 1, step = T(call.stride[2]);
  T buffer[3][kTile];
  for_each_row(call, tile, [&](int64_t first, int64_t count, int64_t y, int64_t x) {
    const T y0 = T(y * call.stride[1] + i * call.dilation[1] - call.padding[1]);
    const T x0 = T(x * call.stride[2] + j * call.dilation[2] - call.padding[2]);
    int64_t offset_step, mask_step = 0;
    const auto read = [&](const Array& array, bool narrow, int64_t c, T* to, int64_t& distance) {
      return read_row(array, narrow, tile.sample, c, tile.frame, y, x, count, to, distance);
    };
    const T* dy = read(call.offset, call.bfloat16_offset, 2 * channel, buffer[0], offset_step);
    const T* dx = read(call.offset, call.bfloat16_offset, 2 * channel + 1, buffer[1], offset_step);
    const T* mask = &one;
    if (call.mask.data) mask = read(call.mask, call.bfloat16_mask, channel, buffer[2], mask_step);
    plan_row<Gradients>(plan, first, count, y0, x0, step, height, width, dy, dx, offset_step, mask, mask_step);
  });
}

}  // namespace
}  // namespace ls3d
