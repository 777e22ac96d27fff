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

// Where tap (., 0, 0) samples on the regular grid, in pixels, for the positions of a tile and those after them, up to a
// multiple of kGridUnit.
constexpr int64_t kGridUnit = 16;  // whole vectors, and fours of positions, see few_channels.h
template <class T>
struct Grid {
  T y[kTileRow], x[kTileRow];

  void set(const KernelCall& call, const Tile& tile) {
    const Tile whole = {tile.sample, tile.frame, tile.begin, tile.begin + round_up(tile.size(), kGridUnit)};
    for_each_row(call, whole, [&](int64_t first, int64_t count, int64_t out_y, int64_t out_x) {
      const T top = T(out_y * call.stride[1] - call.padding[1]);
      for (int64_t k = 0; k < count; ++k) {
        y[first + k] = top;
        x[first + k] = T(int32_t(out_x + k) * int32_t(call.stride[2]) - int32_t(call.padding[2]));
      }
    });
  }
};

// What a tap reads at the first `count` positions of a part of a tile: offsets, masks and the regular grid. A copy of
// it stays in registers: what is stored into a plan can't change it.
template <class T>
struct Tap {
  int64_t count;
  int32_t height, width;     // of the input
  T top, left;               // the tap's distance from tap (., 0, 0)
  const T *grid_y, *grid_x;  // where tap (., 0, 0) samples on the regular grid
  const T *dy, *dx;          // offsets
  const T* strength;         // masks, if `masked`
  bool masked;
  int64_t next_offset, next_mask;  // distances of what `prefetch` asks for; 0 for copies

  // A vector of positions from number `k` on, and of their masks. Offsets after the last position are zero.
  Vector<T> y_at(int64_t k) const { return load<Vector<T>>(grid_y + k) + top + load_some(dy + k, count - k); }
  Vector<T> x_at(int64_t k) const { return load<Vector<T>>(grid_x + k) + left + load_some(dx + k, count - k); }
  Vector<T> mask_at(int64_t k) const { return masked ? load_some(strength + k, count - k) : Vector<T>{} + T(1); }

  // The same for position number `k` alone.
  T one_y_at(int64_t k) const { return grid_y[k] + top + dy[k]; }
  T one_x_at(int64_t k) const { return grid_x[k] + left + dx[k]; }
  T one_mask_at(int64_t k) const { return masked ? strength[k] : T(1); }

  // Asks for what is read later than positions from number `k` on.
  void prefetch(int64_t k) const {
    __builtin_prefetch(dy + k + next_offset);
    __builtin_prefetch(dx + k + next_offset);
    __builtin_prefetch(strength + k + next_mask);
  }
};

// Reads the taps of an offset group at the `count` positions of a tile from number `begin` on.
template <class T>
class TapReader {
 public:
  // What is read later is asked for in advance: that `ahead` of what is read now. A tile is too short a piece of a
  // channel for the processor to foresee it.
  TapReader(const KernelCall& call, const Tile& tile, const Grid<T>& grid, int64_t group, int64_t begin, int64_t count,
            Distance ahead = {1, 0})
      : call_(call),
        ahead_(ahead),
        spatial_taps_(int32_t(call.kernel[1] * call.kernel[2])),
        taps_(call.kernel[0] * spatial_taps_),
        part_{tile.sample, tile.frame, tile.begin + begin, tile.begin + begin + count},
        offset_(call, call.offset, call.bfloat16_offset, part_, 2 * group * taps_),
        mask_(call, call.mask, call.bfloat16_mask, part_, group * taps_),
        grid_y_(grid.y + begin),
        grid_x_(grid.x + begin) {}
  TapReader(const TapReader&) = delete;

  // Reads tap number `tap`, (a * kH + i) * kW + j. The result refers to buffers of this object, until the next call.
  Tap<T> read(int64_t tap) {
    const int32_t place = int32_t(tap) % spatial_taps_, kernel_width = int32_t(call_.kernel[2]);
    const bool last = tap + ahead_.taps >= taps_, masked = call_.mask.data;
    const int64_t next_offset = last ? 0 : offset_.elements({2 * ahead_.taps, ahead_.positions});
    const int64_t next_mask = last ? 0 : mask_.elements(ahead_);
    return {part_.size(),
            int32_t(call_.in_size[1]),
            int32_t(call_.in_size[2]),
            T(place / kernel_width * int32_t(call_.dilation[1])),
            T(place % kernel_width * int32_t(call_.dilation[2])),
            grid_y_,
            grid_x_,
            offset_.read(2 * tap, next_offset, buffer_[0]),
            offset_.read(2 * tap + 1, next_offset, buffer_[1]),
            masked ? mask_.read(tap, next_mask, buffer_[2]) : buffer_[2],
            masked,
            offset_.copied ? 0 : next_offset,
            mask_.copied ? 0 : next_mask};
  }

 private:
  // Channels of offsets or masks at the positions.
  class Channels {
   public:
    bool copied;  // whether the elements are widened, or brought together

    Channels(const KernelCall& call, const Array& array, bool narrow, const Tile& part, int64_t first)
        : call_(call), array_(array), narrow_(narrow), part_(part) {
      const int64_t y = part.begin / call.out_size[2], x = part.begin % call.out_size[2];
      first_ = index_of(array, part.sample, first, part.frame, y, x);
      const bool one_row = x + part.size() <= call.out_size[2];
      adjacent_ = array.stride[4] == 1 && (one_row || array.stride[3] == call.out_size[2]);
      copied = narrow || !adjacent_;
    }

    // The elements of a channel, one after another: those of the tensor, or copies in `buffer`. What is copied is asked
    // for in advance here, `ahead` elements further on.
    const T* read(int64_t channel, int64_t ahead, T* buffer) const {
      const int64_t index = first_ + channel * array_.stride[1];
      if (!copied) return static_cast<const T*>(array_.data) + index;
      copy(index, ahead, buffer);
      return buffer;
    }

    // The distance in elements, if they are adjacent.
    int64_t elements(Distance distance) const {
      return adjacent_ ? distance.taps * array_.stride[1] + distance.positions : 0;
    }

   private:
    [[gnu::noinline]] void copy(int64_t index, int64_t ahead, T* buffer) const {
      if (adjacent_) {  // and narrow
        constexpr int64_t kLine = 64 / sizeof(Bfloat16);
        for (int64_t k = 0; k < part_.size(); k += kLine)
          __builtin_prefetch(static_cast<const Bfloat16*>(array_.data) + index + ahead + k);
        return copy_row(index, 1, part_.size(), buffer);
      }
      const int64_t x = part_.begin % call_.out_size[2];
      for_each_row(call_, part_, [&](int64_t first, int64_t count, int64_t, int64_t row_x) {
        copy_row(index + (row_x - x) * array_.stride[4], array_.stride[4], count, buffer + first);
        index += array_.stride[3];
      });
    }

    void copy_row(int64_t index, int64_t step, int64_t count, T* to) const {
      const auto copy = [&](const auto* from) {
        if (step == 1)  // this loop becomes one of vectors
          for (int64_t k = 0; k < count; ++k) to[k] = T(widen(from[k]));
        else
          for (int64_t k = 0; k < count; ++k) to[k] = T(widen(from[k * step]));
      };
      if (narrow_)
        copy(static_cast<const Bfloat16*>(array_.data) + index);
      else
        copy(static_cast<const T*>(array_.data) + index);
    }

    const KernelCall& call_;
    const Array& array_;
    const bool narrow_;
    const Tile part_;
    int64_t first_;
    bool adjacent_;  // whether the positions' elements are adjacent
  };

  const KernelCall& call_;
  const Distance ahead_;
  const int32_t spatial_taps_;
  const int64_t taps_;
  const Tile part_;
  const Channels offset_, mask_;
  const T *grid_y_, *grid_x_;
  T buffer_[3][kTile];
};

// Fills the plan, from position number `first` on, for the positions of a tap and for those after them up to a whole
// vector. What only the backward pass needs is left out unless `Gradients`.
template <bool Gradients, class T, int64_t Row>
inline void fill_plan(BilinearRows<T, Row>& plan, int64_t first, const Tap<T> tap) {
  using V = Vector<T>;
  using I = Integers<T>;
  constexpr int L = lanes<T>();
  const int32_t height = tap.height, width = tap.width;
  const V zero = {}, one = zero + T(1);
  for (int64_t k = 0; k < tap.count; k += L) {
    tap.prefetch(k);
    V y = tap.y_at(k), x = tap.x_at(k);
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
    const V strength = tap.mask_at(k);
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
void make_sampling_plan(const KernelCall& call, const Tile& tile, const Grid<typename Plan::T>& grid, int64_t tap,
                        int64_t group, Plan& plan) {
  TapReader<typename Plan::T> reader(call, tile, grid, group, 0, tile.size());
  fill_plan<Gradients>(plan, 0, reader.read(tap));
}

}  // namespace
}  // namespace ls3d
