// Few input channels, such as the one of a mask or the three of a picture. For one short vector, sample.h would load
// the numbers and the weights of four corners, and the corners. Here the input is copied into frames with a border of
// zeros, so that every corner exists and follows from the first one. Samples are written one after another, as columns
// (taps, positions, C) with a tap stride of C * kTileRow, where C is the number of channels, rounded up to a power of
// two.
#pragma once

#include <cstring>
#include <utility>

#include "gemm.h"
#include "pack.h"
#include "sizes.h"

namespace ls3d {
namespace {

constexpr int kMostFewChannels = 8;
constexpr int64_t kBorder = 2;  // pixels: a sample far outside is taken at -2, where all four corners are zero

// Copies of all frames of the input, (N * T, H + 2 kBorder, W + kBorder, C). The left border of a row is also the right
// border of the row before it; kBorder pixels follow the last row.
template <class T>
struct PaddedInput {
  int64_t channels, row, frame;  // C; strides in elements
  Buffer<T> data;

  explicit PaddedInput(const KernelCall& call) {
    for (channels = 1; channels < call.channels;) channels *= 2;
    row = (call.in_size[2] + kBorder) * channels;
    frame = (call.in_size[1] + 2 * kBorder) * row + round_up(kBorder * channels, lanes<T>());
    data = allocate<T>(call.batch * call.in_size[0] * frame);
  }
};

// Called by all threads of a parallel region.
template <class T>
void fill(const KernelCall& call, PaddedInput<T>& padded) {
  const int64_t rows = call.in_size[1] + 2 * kBorder, pixel = call.input_pixel, C = padded.channels;
#pragma omp for schedule(static)
  for (int64_t item = 0; item < call.batch * call.in_size[0] * rows; ++item) {
    const int64_t frame = item / rows, y = item % rows - kBorder;
    T* to = padded.data.get() + frame * padded.frame + item % rows * padded.row;
    std::memset(to, 0, (item % rows == rows - 1 ? padded.frame - (rows - 1) * padded.row : padded.row) * sizeof(T));
    if (y < 0 || y >= call.in_size[1]) continue;
    const T* from = static_cast<const T*>(call.input) + frame / call.in_size[0] * call.input_sample +
                    frame % call.in_size[0] * call.input_frame + y * call.in_size[2] * pixel;
    to += kBorder * C;
    for (int64_t c = 0; c < call.channels; ++c)
      for (int64_t x = 0; x < call.in_size[2]; ++x) to[x * C + c] = from[x * pixel + c * call.input_channel];
  }
}

// Calls run(C) with the number of channels as a type.
template <class F>
inline void with_channels(int64_t channels, F run) {
  if (channels == 1) run(std::integral_constant<int, 1>());
  if (channels == 2) run(std::integral_constant<int, 2>());
  if (channels == 4) run(std::integral_constant<int, 4>());
  if (channels == kMostFewChannels) run(std::integral_constant<int, kMostFewChannels>());
}

// Where a tap samples at some positions of a row.
template <class T>
struct PaddedPlan {
  int32_t start[kTileRow];             // of the first corner, in elements from the frame's first pixel; may be negative
  alignas(64) T weight[4 * kTileRow];  // of the corners in the order of BilinearPlan, times the mask
};

// Units of `Unit` elements from a and b in turn: the first vector of them, or, if Second, the second one.
template <int Unit, bool Second, class V, int... Lane>
inline V interleave(V a, V b, std::integer_sequence<int, Lane...>) {
  constexpr int L = sizeof...(Lane), first = Second ? L : 0;
  return LS3D_SHUFFLE(a, b, ((first + Lane) / Unit % 2 * L + (first + Lane) / Unit / 2 * Unit + Lane % Unit)...);
}

// Fills the plan for the row's positions and those after them up to a whole vector, and to a multiple of four.
template <class T>
inline void plan_row(PaddedPlan<T>& plan, const PaddedInput<T>& padded, const RowReader<T>& read) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  constexpr auto all = std::make_integer_sequence<int, L>();
  const V one = V{} + T(1), before = V{} - T(kBorder), height = V{} + T(read.height), width = V{} + T(read.width);
  const auto C = int32_t(padded.channels), row = int32_t(padded.row);
  for (int64_t k = 0; k < round_up(read.count, 4); k += L) {
    read.prefetch(k);
    const V y = clamp<T>(read.y_at(k), before, height), x = clamp<T>(read.x_at(k), before, width);
    const V top = round_down<T>(y), left = round_down<T>(x);
    store_integers<T>(plan.start + k, to_integers<T>(top) * row + to_integers<T>(left) * C);
    const V strength = read.mask_at(k);
    const V below = y - top, right = x - left;
    const V upper = (one - below) * strength, lower = below * strength;
    const V corner[4] = {upper * (one - right), upper * right, lower * (one - right), lower * right};
    const auto write = [&](int64_t at, V a, V b) {
      store<V>(plan.weight + 4 * k + at, interleave<2, false>(a, b, all));
      store<V>(plan.weight + 4 * k + at + L, interleave<2, true>(a, b, all));
    };
    write(0, interleave<1, false>(corner[0], corner[1], all), interleave<1, false>(corner[2], corner[3], all));
    write(2 * L, interleave<1, true>(corner[0], corner[1], all), interleave<1, true>(corner[2], corner[3], all));
  }
}

// Four weights, repeated up to the end of a vector.
template <class T, int... Lane>
inline auto load_weights(const T* weight, std::integer_sequence<int, Lane...>) {
  const Four<T> four = load<Four<T>>(weight);
  auto repeated = LS3D_SHUFFLE(four, four, (Lane % 4)...);
#ifdef __x86_64__
  // Spread from a register, by shuffles: GCC would load each weight from memory, and loads are what takes the time.
  if constexpr (sizeof(repeated) <= kVectorBytes) asm("" : "+x"(repeated));
#endif
  return repeated;
}

// Writes the samples of a row's positions, (positions, C), and those of up to three more. `frame` is the first pixel
// inside the border; rows are `row` elements apart.
template <int C, class T>
inline void sample_row(const PaddedPlan<T>& plan, int64_t positions, const T* frame, int64_t row, T* columns) {
  const auto corner = [&](int64_t position) { return frame + plan.start[position]; };
  const auto weight = [&](int64_t position) { return plan.weight + 4 * position; };
  if constexpr (C >= 4) {
    using V = typename VectorOf<T, int(sizeof(T)) * C>::type;
    constexpr auto all = std::make_integer_sequence<int, C>();
    for (int64_t k = 0; k < positions; ++k) {
      const T *top = corner(k), *bottom = top + row;
      const V w = load_weights(weight(k), all);
      store<V>(columns + k * C, load<V>(top) * spread<4, 0>(w, all) + load<V>(top + C) * spread<4, 1>(w, all) +
                                    load<V>(bottom) * spread<4, 2>(w, all) +
                                    load<V>(bottom + C) * spread<4, 3>(w, all));
    }
  } else if constexpr (C == 2) {
    for (int64_t k = 0; k < positions; k += 2) {
      const auto blend = [&](int64_t position) {
        const Four<T> four = load<Four<T>>(weight(position));
        return load<Four<T>>(corner(position)) * LS3D_SHUFFLE(four, four, 0, 0, 1, 1) +
               load<Four<T>>(corner(position) + row) * LS3D_SHUFFLE(four, four, 2, 2, 3, 3);
      };
      const Four<T> a = blend(k), b = blend(k + 1);
      store(columns + 2 * k, LS3D_SHUFFLE(a, b, 0, 1, 4, 5) + LS3D_SHUFFLE(a, b, 2, 3, 6, 7));
    }
  } else {
    for (int64_t k = 0; k < positions; k += 4) {
      Four<T> products[4];
      for (int i = 0; i < 4; ++i) {
        const T *top = corner(k + i), *bottom = top + row;
        products[i] = Four<T>{top[0], top[1], bottom[0], bottom[1]} * load<Four<T>>(weight(k + i));
      }
      store(columns + k, sums_of<T>(products[0], products[1], products[2], products[3]));
    }
  }
}

// Adds the products of samples and weights for a tile to `sums`, (positions, out_channels).
template <int C, class T>
void forward_few_channels(const KernelCall& call, const Sizes& sizes, const PaddedInput<T>& padded, const T* packed,
                          const Tile& tile, PaddedPlan<T>& plan, T* columns, T* sums, int64_t sums_row) {
  constexpr int W = panel_width<T>();
  const Range taps = taps_in_clip(call, tile.frame);
  const int64_t last = taps.last * sizes.spatial_taps;
  constexpr int64_t most = kTile / C;  // taps that fit into the columns
  for (int64_t begin = taps.first * sizes.spatial_taps; begin < last; begin += most) {
    const int64_t end = minimum(begin + most, last);
    for_each_row(call, tile, [&](int64_t position, int64_t count, int64_t y, int64_t x) {
      RowReader<T> read(call, tile, 0, count, y, x);
      for (int64_t tap = begin; tap < end; ++tap) {
        const T* frame =
            padded.data.get() + (kBorder * padded.row + kBorder * C) +
            (tile.sample * call.in_size[0] + frame_read_by(call, tile.frame, tap / sizes.spatial_taps)) * padded.frame;
        read.go_to(tap);
        plan_row(plan, padded, read);
        sample_row<C>(plan, count, frame, padded.row, columns + (tap - begin) * C * kTileRow + position * C);
      }
    });
    const T* weights = packed + begin * call.channels * W;
    gemm<T, true, C, 1, true>(columns, weights, sizes.depth * W, W, sums, sums_row, tile.size(), call.out_channels,
                              (end - begin) * call.channels, call.channels, C * kTileRow - call.channels);
  }
}

}  // namespace
}  // namespace ls3d
