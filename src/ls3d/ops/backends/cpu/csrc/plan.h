// The sampling plan: where one tap samples at every position of a tile, computed once and used for all channels.
#pragma once

#include <cmath>

#include "ls3d.h"
#include "simd.h"

namespace ls3d {
namespace {

constexpr int64_t kTile = 240;  // most positions in a tile

// A run of output positions of one frame, row by row.
struct Tile {
  int64_t sample, frame;  // of the output
  int64_t begin, end;     // position y * out_width + x
  int64_t size() const { return end - begin; }
};

// Pixels and weights of the four corners. A corner outside the frame has weight zero and a neighbor's pixel; a
// position that doesn't count has pixel[0] = kOutside, so that no feature (it might be NaN) touches it.
constexpr int32_t kOutside = -1;

template <class T>
struct Plan {
  int32_t pixel[4][kTile];   // (top, left), (top, right), (bottom, left), (bottom, right)
  T row[2][kTile];           // bilinear weight of the top and the bottom row
  T column[2][kTile];        // of the left and the right column
  T row_inside[2][kTile];    // 1 where that row lies in the frame, else 0
  T column_inside[2][kTile];
  T mask[kTile];
};

// One row of positions; the strides are template-like constants after inlining.
template <class T>
inline void plan_row(Plan<T>& plan, int64_t at, int64_t count, T y0, T x0, T step, int32_t height, int32_t width,
                     const T* dy, const T* dx, int64_t offset_step, const T* mask, int64_t mask_step) {
  for (int64_t k = 0; k < count; ++k) {
    T y = y0 + dy[k * offset_step], x = x0 + T(k) * step + dx[k * offset_step];
    const bool inside = (y > T(-1)) & (y < T(height)) & (x > T(-1)) & (x < T(width));
    y = inside ? y : T(0);
    x = inside ? x : T(0);
    const T top = std::floor(y), left = std::floor(x);
    const int32_t r0 = int32_t(top), c0 = int32_t(left), r1 = r0 + 1, c1 = c0 + 1;
    const T keep = inside ? T(1) : T(0);
    const T in_r0 = r0 >= 0 ? keep : T(0), in_r1 = r1 < height ? keep : T(0);
    const T in_c0 = c0 >= 0 ? keep : T(0), in_c1 = c1 < width ? keep : T(0);
    const int32_t up = (r0 > 0 ? r0 : 0) * width, down = (r1 < height ? r1 : height - 1) * width;
    const int32_t near = c0 > 0 ? c0 : 0, far = c1 < width ? c1 : width - 1;
    const int64_t p = at + k;
    plan.pixel[0][p] = inside ? up + near : kOutside;
    plan.pixel[1][p] = up + far;
    plan.pixel[2][p] = down + near;
    plan.pixel[3][p] = down + far;
    plan.row[0][p] = in_r0 * (T(1) - (y - top));
    plan.row[1][p] = in_r1 * (y - top);
    plan.column[0][p] = in_c0 * (T(1) - (x - left));
    plan.column[1][p] = in_c1 * (x - left);
    plan.row_inside[0][p] = in_r0;
    plan.row_inside[1][p] = in_r1;
    plan.column_inside[0][p] = in_c0;
    plan.column_inside[1][p] = in_c1;
    plan.mask[p] = mask[k * mask_step];
  }
}

// Calls row(first position in the tile, count, y, x) for every output row that the tile touches.
template <class F>
inline void for_rows(const Problem& problem, const Tile& tile, F row) {
  const int64_t width = problem.out_size[2];
  for (int64_t p = tile.begin; p < tile.end;) {
    const int64_t y = p / width, x = p % width;
    const int64_t count = tile.end - p < width - x ? tile.end - p : width - x;
    row(p - tile.begin, count, y, x);
    p += count;
  }
}

template <class T>
inline T* element(const Array& array, int64_t n, int64_t c, int64_t t, int64_t y, int64_t x) {
  const int64_t* s = array.stride;
  return static_cast<T*>(array.data) + n * s[0] + c * s[1] + t * s[2] + y * s[3] + x * s[4];
}

// The plan of tap (a, i, j) = `tap` in offset group `group`.
template <class T>
void make_plan(const Problem& problem, const Tile& tile, int64_t tap, int64_t group, Plan<T>& plan) {
  const int64_t taps = problem.kernel[0] * problem.kernel[1] * problem.kernel[2];
  const int64_t j = tap % problem.kernel[2], i = tap / problem.kernel[2] % problem.kernel[1];
  const int64_t channel = group * taps + tap;
  const auto height = int32_t(problem.in_size[1]), width = int32_t(problem.in_size[2]);
  const T one = 1, step = T(problem.stride[2]);
  for_rows(problem, tile, [&](int64_t at, int64_t count, int64_t y, int64_t x) {
    const T y0 = T(y * problem.stride[1] + i * problem.dilation[1] - problem.padding[1]);
    const T x0 = T(x * problem.stride[2] + j * problem.dilation[2] - problem.padding[2]);
    const T* dy = element<T>(problem.offset, tile.sample, 2 * channel, tile.frame, y, x);
    const T* dx = dy + problem.offset.stride[1];
    const int64_t offset_step = problem.offset.stride[4];
    const bool masked = problem.mask.data != nullptr;
    const T* mask = masked ? element<T>(problem.mask, tile.sample, channel, tile.frame, y, x) : &one;
    const int64_t mask_step = masked ? problem.mask.stride[4] : 0;
    if (offset_step == 1 && mask_step == 1)  // the usual layouts, so that the compiler makes vectors of them
      plan_row(plan, at, count, y0, x0, step, height, width, dy, dx, 1, mask, 1);
    else if (offset_step == 1 && mask_step == 0)
      plan_row(plan, at, count, y0, x0, step, height, width, dy, dx, 1, mask, 0);
    else
      plan_row(plan, at, count, y0, x0, step, height, width, dy, dx, offset_step, mask, mask_step);
  });
}

}  // namespace
}  // namespace ls3d
