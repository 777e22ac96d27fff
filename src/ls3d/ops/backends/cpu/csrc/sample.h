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
template <class T, int64_t Row>
inline int64_t pixel_of(const BilinearRows<T, Row>& plan, int64_t position, int k) {
  return plan.pixel[k][position];
}

// The weights of a position's corners, times the mask.
template <class T, int64_t Row>
inline void find_weights(const BilinearRows<T, Row>& plan, int64_t position, T* weight) {
  for (int k = 0; k < 4; ++k) weight[k] = plan.weight[k][position];
}

// The addresses of a position's corners.
template <class Plan, class P>
inline void find_corners(const Plan& plan, int64_t position, P* frame, int64_t pixel_stride, P** corner) {
  for (int k = 0; k < Plan::kCorners; ++k) corner[k] = frame + pixel_of(plan, position, k) * pixel_stride;
}

// The sample of a position that is outside the frame, or of which nothing may be read beyond the channels.
template <class Plan, class T>
[[gnu::noinline]] void sample_exactly(const Plan& plan, int64_t position, const T* frame, int64_t pixel_stride,
                                      int64_t channels, T* to) {
  if (plan.outside(position)) {
    for (int64_t c = 0; c < channels; ++c) to[c] = T(0) * plan.mask[position];
    return;
  }
  const T* corner[Plan::kCorners];
  T weight[Plan::kCorners];
  find_corners(plan, position, frame, pixel_stride, corner);
  find_weights(plan, position, weight);
  blend(corner, weight, channels, to);
}

// Most vectors in a sample that have code of their own: 64 channels of floats. Not tuned for AVX-512.
constexpr int kMostVectors = kVectorBytes < 64 ? 8 : 4;

// How many positions ahead the corners of samples are asked for: those of random offsets are often outside the
// first-level cache. With AVX-512, samples are computed while the processor multiplies, and can wait for them.
constexpr int64_t kPrefetched = kVectorBytes < 64 ? 2 : 0;

// Calls run(V(), Count()) with arguments of PieceSamples that suit a number of channels; Count has the number as a
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
  if (vectors == 3) return run(V(), std::integral_constant<int, 3>());
  if (vectors == 4) return run(V(), std::integral_constant<int, 4>());
  if (vectors == kMostVectors) return run(V(), std::integral_constant<int, kMostVectors>());
  run(V(), std::integral_constant<int, 0>());
}

// Samples, times the masks, of `taps` taps at some positions: `Count` vectors V each, or as many as the channels need
// if Count is 0. They are computed one by one, so that this can be done while a product is computed, see gemm.
template <class V, int Count, class Plan, class T, class C>
class PieceSamples {
 public:
  // `frames` are those that each tap reads, from the first of the `channels` channels on; `end` is the end of the
  // input. A sample is written to columns[position * stride + tap * tap_stride], and up to kPad - 1 elements after it
  // before the next tap's are. Position k is number tap * kPieceRow + k of the plan. `left_over` has room for as many
  // numbers.
  PieceSamples(const Plan& plan, int64_t taps, int64_t positions, const T* const* frames, const T* end,
               int64_t pixel_stride, int64_t channels, C* columns, int64_t tap_stride, int64_t stride,
               int32_t* left_over)
      : plan_(plan),
        taps_(taps),
        positions_(positions),
        frames_(frames),
        pixel_stride_(pixel_stride),
        channels_(channels),
        vectors_(Count ? Count : divide_up(channels, kLanes)),
        columns_(columns),
        tap_stride_(tap_stride),
        stride_(stride),
        left_over_(left_over),
        last_(end - vectors_ * kLanes) {}

  // Spreads the work over `calls` calls of the function call operator.
  void spread(int64_t calls) { each_ = divide_up(taps_ * positions_, maximum(1, calls)); }

  [[gnu::always_inline]] inline void operator()() {
    for (int64_t k = 0; k < each_ && position_ < positions_; ++k) next([](C* to, V sample) { store<V>(to, sample); });
  }

  // Computes what remains. Inlined, it would share the caller's general registers, and store its addresses.
  [[gnu::noinline]] void finish() {
    all([](C* to, V sample) { store<V>(to, sample); });
    for_each_left_over([&](int64_t number, const T* frame, C* to) {
      sample_exactly(plan_, number, frame, pixel_stride_, channels_, to);
    });
  }

 protected:
  static constexpr int64_t kLanes = sizeof(V) / sizeof(T);

  // Calls write(where to, sample) for each vector of the next tap. Leaves a position over that is outside the frame, or
  // of which whole vectors can't be read: calls of functions would cost the caller its registers.
  template <class F>
  [[gnu::always_inline]] inline void next(F write) {
    constexpr int kCorners = Plan::kCorners;
    const int64_t number = tap_ * kPieceRow + position_;
    const T* corner[kCorners];
    T weight[kCorners];
    if constexpr (kPrefetched && Count && kCorners == 4) prefetch(number + kPrefetched);
    find_corners(plan_, number, frames_[tap_], pixel_stride_, corner);
    // The last corner is the last one in memory.
    if (plan_.outside(number) || corner[kCorners - 1] > last_) {
      left_over_[left_overs_++] = int32_t(position_ * taps_ + tap_);
    } else {
      find_weights(plan_, number, weight);
      C* to = columns_ + tap_ * tap_stride_;
#pragma GCC unroll 8
      for (int64_t c = 0; c < (Count ? Count : vectors_) * kLanes; c += kLanes) {
        V sum = weight[0] * load<V>(corner[0] + c);
#pragma GCC unroll 16
        for (int k = 1; k < kCorners; ++k) sum += weight[k] * load<V>(corner[k] + c);
        write(to + c, sum);
      }
    }
    if (++tap_ < taps_) return;
    tap_ = 0;
    ++position_;
    columns_ += stride_;
  }

  // Asks for the corners of the next tap at position `number` of the plan, which may be beyond the last one: then for
  // whatever is there.
  [[gnu::always_inline]] inline void prefetch(int64_t number) const {
    for (int k = 0; k < Plan::kCorners; k += 2) {
      const T* left = frames_[tap_] + pixel_of(plan_, number, k) * pixel_stride_;
#pragma GCC unroll 16
      for (int64_t c = 0; c < 2 * Count * kLanes; c += int64_t(64 / sizeof(T))) __builtin_prefetch(left + c);
    }
  }

  // As next, for all taps and positions that remain.
  template <class F>
  [[gnu::always_inline]] inline void all(F write) {
    PieceSamples rest = *this;  // what is stored can't change its members, so they stay in registers
    while (rest.position_ < positions_) rest.next(write);
    position_ = rest.position_;
    columns_ = rest.columns_;
    left_overs_ = rest.left_overs_;
  }

  // Calls visit(number in the plan, frame, where to).
  template <class F>
  void for_each_left_over(F visit) {
    C* first = columns_ - position_ * stride_;
    for (int64_t k = 0; k < left_overs_; ++k) {
      const int64_t tap = left_over_[k] % taps_, position = left_over_[k] / taps_;
      visit(tap * kPieceRow + position, frames_[tap], first + position * stride_ + tap * tap_stride_);
    }
  }

  const Plan& plan_;
  const int64_t taps_, positions_;
  const T* const* frames_;
  const int64_t pixel_stride_, channels_, vectors_;
  C* columns_;  // those of the next position
  const int64_t tap_stride_, stride_;
  int32_t* left_over_;
  const T* last_;  // the last element from which on whole vectors can be read
  int64_t tap_ = 0, position_ = 0, left_overs_ = 0, each_ = 0;
};

// Writes the samples, times the mask, of `channels` channels of `frame` to `columns`, whose row stride is `stride`, and
// up to kPad - 1 elements after them. `end` is the end of the input.
template <class Plan, class T>
void sample(const Plan& plan, int64_t positions, const T* frame, const T* end, int64_t pixel_stride, int64_t channels,
            T* columns, int64_t stride) {
  int32_t left_over[kTile];
  with_vectors<T>(channels, [&](auto vector, auto count) {
    PieceSamples<decltype(vector), count.value, Plan, T, T>(plan, 1, positions, &frame, end, pixel_stride, channels,
                                                            columns, 0, stride, left_over)
        .finish();
  });
}

#ifdef LS3D_BFLOAT16

// As PieceSamples, for samples that are rounded to bfloat16.
template <class V, int Count, class Plan>
class RoundedPieceSamples : public PieceSamples<V, Count, Plan, float, Bfloat16> {
 public:
  using PieceSamples<V, Count, Plan, float, Bfloat16>::PieceSamples;

  [[gnu::always_inline]] LS3D_BFLOAT16 inline void operator()() {
    for (int64_t k = 0; k < this->each_ && this->position_ < this->positions_; ++k)
      this->next([](Bfloat16* to, V sample) LS3D_BFLOAT16 { store_rounded(to, sample); });
  }

  [[gnu::noinline]] LS3D_BFLOAT16 void finish() {
    this->all([](Bfloat16* to, V sample) LS3D_BFLOAT16 { store_rounded(to, sample); });
    this->for_each_left_over([&](int64_t number, const float* frame, Bfloat16* to) {
      float exact[2 * kDepth];
      sample_exactly(this->plan_, number, frame, this->pixel_stride_, this->channels_, exact);
      for (int64_t c = 0; c < this->channels_; ++c) to[c] = to_bfloat16(exact[c]);
    });
  }
};

template <class V, int Count, class Plan, class T, class C>
using SamplesOf = std::conditional_t<std::is_same_v<C, Bfloat16>, RoundedPieceSamples<V, Count, Plan>,
                                     PieceSamples<V, Count, Plan, T, C>>;

#else

template <class V, int Count, class Plan, class T, class C>
using SamplesOf = PieceSamples<V, Count, Plan, T, C>;

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
      const T top = plan.row_inside[0][position] * (column[0] * dot[0] + column[kTileRow] * dot[1]);
      const T bottom = plan.row_inside[1][position] * (column[0] * dot[2] + column[kTileRow] * dot[3]);
      if (need_offset) {
        const T left = plan.column_inside[0][position] * (row[0] * dot[0] + row[kTileRow] * dot[2]);
        const T right = plan.column_inside[1][position] * (row[0] * dot[1] + row[kTileRow] * dot[3]);
        dy[k * offset_step] += plan.mask[position] * (bottom - top);
        dy[k * offset_step + dy_to_dx] += plan.mask[position] * (right - left);
      }
      if (need_mask) dm[k * mask_step] += row[0] * top + row[kTileRow] * bottom;
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
template <class Plan, class T>
void backpropagate_tap(const Plan& plan, int64_t positions, const TapGradient<T>& tap, int64_t channels, T* columns,
                       int64_t stride) {
  for (int64_t position = 0; position < positions; ++position, columns += stride) {
    if (plan.outside(position)) {
      if (tap.dots) store(tap.dots + 4 * position, Four<T>{});
      if (tap.write_samples)
        for (int64_t c = 0; c < channels; ++c) columns[c] = T(0) * plan.mask[position];
      continue;
    }
    const T* corner[Plan::kCorners];
    T weight[Plan::kCorners];
    find_corners(plan, position, tap.frame, tap.pixel_stride, corner);
    find_weights(plan, position, weight);
    if (tap.grad_frame) {
      T* to[Plan::kCorners];
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
