// The sampling plan: where one tap samples at each position of a tile. Computed once and used for all channels.
#pragma once

#include "bfloat16.h"

namespace ls3d {
namespace {

// Most positions in a tile. A multiple of kRows (12 and 6), so that a full tile consists of full register tiles; for
// its size see kDepth in sizes.h.
constexpr int64_t kTile = 240;
constexpr int64_t kTileRow = kTile + 32;  // elements of a row of positions that is written by whole vectors

// A piece of a tile, at most kPiece positions: several taps, at most kPieceTaps, are sampled at a position before the
// next position is, as they read the same pixels, which then are in the first-level cache. A multiple of 2 * kRows.
constexpr int64_t kPiece = 72, kPieceTaps = 9;
constexpr int64_t kPieceRow = kPiece + 24;  // positions from one tap to the next in a plan of several
constexpr int64_t kPlanRow = kPieceTaps * kPieceRow + 16;
static_assert(kPlanRow >= kTileRow, "the plan of a piece has room for one tap at the positions of a tile");

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
// a neighboring pixel inside it; a position that samples zero has pixel[0] = kOutside. There are Row elements in a row.
template <class Element, int64_t Row>
struct BilinearRows {
  using T = Element;
  using Piece = BilinearRows<T, kPlanRow>;  // for several taps
  static constexpr int kCorners = 4;

  int32_t pixel[4][Row];    // y * width + x of (top, left), (top, right), (bottom, left), (bottom, right)
  T weight[4][Row];         // bilinear weight of each corner, times the mask
  T row[2][Row];            // bilinear weight of the top and of the bottom row
  T column[2][Row];         // bilinear weight of the left and of the right column
  T row_inside[2][Row];     // 1 if that row is inside the frame, else 0
  T column_inside[2][Row];  // 1 if that column is inside the frame, else 0
  T mask[Row];

  bool outside(int64_t position) const { return pixel[0][position] == kOutside; }
};

template <class T>
using BilinearPlan = BilinearRows<T, kTileRow>;

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

inline int64_t index_of(const Array& array, int64_t n, int64_t c, int64_t t, int64_t y, int64_t x) {
  const int64_t* s = array.stride;
  return n * s[0] + c * s[1] + t * s[2] + y * s[3] + x * s[4];
}

template <class T>
inline T* element(const Array& array, int64_t n, int64_t c, int64_t t, int64_t y, int64_t x) {
  return static_cast<T*>(array.data) + index_of(array, n, c, t, y, x);
}

// How far something that is read later is from what is read now.
struct Distance {
  int64_t taps, positions;
};

// What the taps of an offset group read for `count` positions of a row of the output: offsets and masks, and positions
// on the regular grid. `step` is the distance of those, in pixels.
template <class T>
class RowReader {
 public:
  const int64_t count;
  const int32_t height, width;  // of the input
  const T step;
  T y, x;                   // of the first position on the regular grid
  const T *dy, *dx, *mask;  // elements [0], [offset_step], ... or [0], [mask_step], ...
  int64_t offset_step, mask_step = 0;

  // Elements that are read later are asked for in advance: those `ahead` further on. A row is too short a piece of a
  // channel for the processor to foresee it.
  RowReader(const KernelCall& call, const Tile& tile, int64_t group, int64_t count, int64_t out_y, int64_t out_x,
            Distance ahead = {1, 0})
      : count(count),
        height(int32_t(call.in_size[1])),
        width(int32_t(call.in_size[2])),
        step(T(call.stride[2])),
        mask(&one_),
        call_(call),
        ahead_(ahead),
        spatial_taps_(int32_t(call.kernel[1] * call.kernel[2])),
        taps_(call.kernel[0] * spatial_taps_),
        first_y_(out_y * call.stride[1] - call.padding[1]),
        first_x_(out_x * call.stride[2] - call.padding[2]),
        first_offset_(index_of(call.offset, tile.sample, 2 * group * taps_, tile.frame, out_y, out_x)),
        first_mask_(index_of(call.mask, tile.sample, group * taps_, tile.frame, out_y, out_x)) {}
  RowReader(const RowReader&) = delete;

  // Goes to tap number `tap`, (a * kH + i) * kW + j.
  void go_to(int64_t tap) {
    const int32_t place = int32_t(tap) % spatial_taps_, kernel_width = int32_t(call_.kernel[2]);
    y = T(first_y_ + place / kernel_width * call_.dilation[1]);
    x = T(first_x_ + place % kernel_width * call_.dilation[2]);
    const int64_t channel = call_.offset.stride[1], index = first_offset_ + 2 * tap * channel;
    dy = read(call_.offset, call_.bfloat16_offset, index, buffer_[0], offset_step);
    dx = read(call_.offset, call_.bfloat16_offset, index + channel, buffer_[1], offset_step);
    if (call_.mask.data)
      mask = read(call_.mask, call_.bfloat16_mask, first_mask_ + tap * call_.mask.stride[1], buffer_[2], mask_step);
    const bool last = tap + ahead_.taps >= taps_;
    next_offset_ = last || call_.bfloat16_offset ? 0 : 2 * ahead_.taps * channel + ahead_.positions * offset_step;
    next_mask_ = last || call_.bfloat16_mask ? 0 : ahead_.taps * call_.mask.stride[1] + ahead_.positions * mask_step;
  }

  // A vector of positions from number `k` on, and of their masks. What isn't in the row is on the regular grid.
  Vector<T> y_at(int64_t k) const { return y + load_some(dy + k * offset_step, offset_step, count - k); }
  Vector<T> x_at(int64_t k) const {
    return x + (T(k) + indices<T>()) * step + load_some(dx + k * offset_step, offset_step, count - k);
  }
  Vector<T> mask_at(int64_t k) const { return load_some(mask + k * mask_step, mask_step, count - k); }

  // Asks for what is `ahead` of positions from number `k` on.
  void prefetch(int64_t k) const {
    __builtin_prefetch(dy + k * offset_step + next_offset_);
    __builtin_prefetch(dx + k * offset_step + next_offset_);
    __builtin_prefetch(mask + k * mask_step + next_mask_);
  }

 private:
  // The elements from number `index` on, as a pointer and a step: those of the tensor, or widened ones in `buffer`.
  const T* read(const Array& array, bool narrow, int64_t index, T* buffer, int64_t& step) const {
    step = array.stride[4];
    if (!narrow) return static_cast<const T*>(array.data) + index;
    const Bfloat16* from = static_cast<const Bfloat16*>(array.data) + index;
    if (step == 1)  // this loop becomes one of vectors
      for (int64_t k = 0; k < count; ++k) buffer[k] = widen(from[k]);
    else
      for (int64_t k = 0; k < count; ++k) buffer[k] = widen(from[k * step]);
    step = 1;
    return buffer;
  }

  const T one_ = 1;
  const KernelCall& call_;
  const Distance ahead_;
  const int32_t spatial_taps_;
  const int64_t taps_, first_y_, first_x_, first_offset_, first_mask_;
  int64_t next_offset_, next_mask_;  // distances of what is asked for
  T buffer_[3][kTile];
};

// Fills the plan for the row's positions, the first one being position `first` of the tile, and for those after them up
// to a whole vector. What only the backward pass needs is left out unless `Gradients`.
template <bool Gradients, class T, int64_t Row>
inline void plan_row(BilinearRows<T, Row>& plan, int64_t first, const RowReader<T>& read) {
  using V = Vector<T>;
  using I = Integers<T>;
  constexpr int L = lanes<T>();
  const int32_t height = read.height, width = read.width;
  const V zero = {}, one = zero + T(1);
  for (int64_t k = 0; k < read.count; k += L) {
    read.prefetch(k);
    V y = read.y_at(k), x = read.x_at(k);
    const I inside = (y > T(-1)) & (y < T(height)) & (x > T(-1)) & (x < T(width));
    y = inside ? y : zero;
    x = inside ? x : zero;
    const V top = round_down<T>(y), left = round_down<T>(x), below = y - top, right = x - left;
    const I r0 = to_integers<T>(top), c0 = to_integers<T>(left), r1 = r0 + 1, c1 = c0 + 1;
    const I r0_inside = inside & (r0 >= 0), r1_inside = inside & (r1 < height);
    const I c0_inside = inside & (c0 >= 0), c1_inside = inside & (c1 < width);
    const I top_row = (r0 & (r0 >= 0)) * width, bottom_row = (r1 < height ? r1 : I{} + (height - 1)) * width;
    const I left_column = c0 & (c0 >= 0), right_column = c1 < width ? c1 : I{} + (width - 1);
    const int64_t position = first + k;
    store_integers<T>(plan.pixel[0] + position, inside ? top_row + left_column : I{} + kOutside);
    store_integers<T>(plan.pixel[1] + position, top_row + right_column);
    store_integers<T>(plan.pixel[2] + position, bottom_row + left_column);
    store_integers<T>(plan.pixel[3] + position, bottom_row + right_column);
    const V strength = read.mask_at(k);
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

// The plan of tap number `tap` in offset group `group`.
template <bool Gradients, class Plan>
void make_sampling_plan(const KernelCall& call, const Tile& tile, int64_t tap, int64_t group, Plan& plan) {
  for_each_row(call, tile, [&](int64_t first, int64_t count, int64_t y, int64_t x) {
    RowReader<typename Plan::T> read(call, tile, group, count, y, x);
    read.go_to(tap);
    plan_row<Gradients>(plan, first, read);
  });
}

}  // namespace
}  // namespace ls3d
