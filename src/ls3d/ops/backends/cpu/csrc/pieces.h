// The order in which the forward pass goes through a tile: pieces of it, see kPiece, and a few taps and channels at a
// time.
#pragma once

#include "sizes.h"

namespace ls3d {
namespace {

// Some columns of a group at some positions: those of channels [first, last) of the group for the taps from number
// `tap` on, at `count` positions of a tile from number `begin` on.
struct Step {
  int64_t tap, taps, first, last, begin, count;
  bool starts;     // whether these are the first columns at these positions
  Distance ahead;  // of the next step
  int64_t columns() const { return taps * (last - first); }
};

// The steps for a group and a tile, in the order of packed weights, at most `depth` columns and `most` positions in
// each. Channels are divided into multiples of 2 * `unit`.
class Steps {
 public:
  Steps(const KernelCall& call, const Sizes& sizes, const Tile& tile, int64_t depth, int64_t most, int64_t unit)
      : channels_(sizes.in_group), depth_(depth), positions_(tile.size()) {
    const Range taps = taps_in_clip(call, tile.frame);
    const int64_t parts = divide_up(channels_, depth);
    end_ = taps.last * sizes.spatial_taps;
    width_ = parts <= 1 ? channels_ : round_up(divide_up(channels_, parts), 2 * unit);
    const int64_t pieces = divide_up(positions_, most);
    piece_ = round_up(divide_up(positions_, pieces), 2 * kRows);
    first_tap_ = taps.first * sizes.spatial_taps;
    step_ = {channels_ ? first_tap_ : end_, 0, 0, channels_, 0, 0, true, {0, 0}};
  }

  // Goes to the next step, if there is one.
  bool next(Step& step) {
    step_.begin += step_.count;
    if (step_.taps == 0 || step_.begin == positions_) next_columns();
    step_.starts = step_.tap == first_tap_ && step_.first == 0;
    step_.count = minimum(piece_, positions_ - step_.begin);
    if (step_.begin + step_.count < positions_)
      step_.ahead = {0, step_.count};
    else
      step_.ahead = {step_.last < channels_ ? 0 : step_.taps, -step_.begin};
    step = step_;
    return step_.taps > 0;
  }

 private:
  void next_columns() {
    step_.begin = 0;
    if (step_.last < channels_) {
      step_.first = step_.last;
    } else {
      step_.tap += step_.taps;
      step_.first = 0;
      const int64_t left = end_ - step_.tap, most = minimum(kPieceTaps, depth_ / width_);
      step_.taps = left ? divide_up(left, divide_up(left, most)) : 0;
    }
    step_.last = minimum(step_.first + width_, channels_);
  }

  const int64_t channels_, depth_, positions_;
  int64_t first_tap_, end_, width_, piece_;
  Step step_;
};

// What a thread needs for a step.
template <template <class> class Plan, class T>
struct PieceScratch {
  Grid<T> grid;  // of the tile
  typename Plan<T>::Piece plan;
  const T* frames[kPieceTaps];
  int32_t left_over[kPlanRow];
};

// The plan of a step in an offset group: position k of the step is number k for the first tap, kPieceRow + k for the
// second one, and so on.
template <class Plan>
void make_plan(const KernelCall& call, const Tile& tile, const Grid<typename Plan::T>& grid, const Step& step,
               int64_t offset_group, Plan& plan) {
  TapReader<typename Plan::T> reader(call, tile, grid, offset_group, step.begin, step.count, step.ahead);
  for (int64_t t = 0; t < step.taps; ++t) fill_plan<false>(plan, t * kPieceRow, reader.read(step.tap + t));
}

// The frames that a step's taps read, from channel number `channel` on.
template <class T>
void find_frames(const KernelCall& call, const Sizes& sizes, const Tile& tile, const Step& step, int64_t channel,
                 const T** frames) {
  for (int64_t t = 0; t < step.taps; ++t)
    frames[t] = frame_data<T>(call, tile, (step.tap + t) / sizes.spatial_taps) + channel;
}

}  // namespace
}  // namespace ls3d
