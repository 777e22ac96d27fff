// Few input channels, such as the one of a mask or the three of a picture. For one short vector, sample.h would load
// the numbers and the weights of four corners, and the corners. Here the input is copied into frames with a border of
// zeros, so that every corner exists and follows from the first one. Samples are written one after another, as columns
// (taps, positions, C) with a tap stride of C * kTileRow, where C is the number of channels, rounded up to a power of
// two. With one channel, columns are planes of positions, and so can the product be: what gemm reads by element are the
// weights.
#pragma once

#include <cstring>

#include "gemm.h"
#include "pack.h"
#include "sizes.h"

namespace ls3d {
namespace {

constexpr int kMostFewChannels = 8;
constexpr int64_t kBorder = 2;  // pixels: a sample far outside is taken at -2, where all four corners are zero

// The number of elements of a pixel in PaddedInput: a power of two.
constexpr int padded_channels(int channels) { return channels <= 1 ? 1 : 2 * padded_channels((channels + 1) / 2); }

// Whether the products of one channel's samples and the weights can be added to the output itself: the positions of an
// output channel's frame are adjacent.
inline bool output_is_planes(const KernelCall& call) {
  const int64_t* stride = call.output.stride;
  return call.channels == 1 && !call.bfloat16_output && stride[4] == 1 && stride[3] == call.out_size[2];
}

// Copies of all frames of the input, (N * T, H + 2 kBorder, W + kBorder, C). The left border of a row is also the right
// border of the row before it; kBorder pixels follow the last row.
template <class T>
struct PaddedInput {
  int64_t channels, row, frame;  // C; strides in elements
  Buffer<T> data;
  Buffer<T> bias;  // if there is one and output_is_planes: (out_channels, kTileRow), each row of one value; else null
  bool has_memory;

  explicit PaddedInput(const KernelCall& call) {
    channels = padded_channels(int(call.channels));
    row = (call.in_size[2] + kBorder) * channels;
    frame = (call.in_size[1] + 2 * kBorder) * row + round_up(kBorder * channels, lanes<T>());
    data = allocate<T>(call.batch * call.in_size[0] * frame);
    has_memory = bool(data);
    if (!has_memory || !call.bias || !output_is_planes(call)) return;
    bias = allocate<T>(call.out_channels * kTileRow);
    has_memory = bool(bias);
    for (int64_t k = 0; has_memory && k < call.out_channels * kTileRow; ++k)
      bias[k] = static_cast<const T*>(call.bias)[k / kTileRow];
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

// Calls run(channels) with the number of channels as a type.
template <int Channels = 1, class F>
inline void with_channels(int64_t channels, F run) {
  if (channels == Channels) return run(std::integral_constant<int, Channels>());
  if constexpr (Channels < kMostFewChannels) with_channels<Channels + 1>(channels, run);
}

// Where a tap samples at some positions.
template <class T>
struct PaddedPlan {
  int32_t start[kTileRow];             // of the first corner, in elements from the frame's first pixel; may be negative
  T upper[kTileRow], lower[kTileRow];  // weights of the two rows of corners, times the mask
  T right[kTileRow];                   // weight of the right column of corners
};

// Fills the plan for the positions of a tap and for those after them up to a whole vector, and to a multiple of four.
template <class T>
inline void fill_plan(PaddedPlan<T>& plan, const PaddedInput<T>& padded, const Tap<T> tap) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  const V one = V{} + T(1), before = V{} - T(kBorder), height = V{} + T(tap.height), width = V{} + T(tap.width);
  const auto C = int32_t(padded.channels), row = int32_t(padded.row);
  for (int64_t k = 0; k < round_up(tap.count, 4); k += L) {
    tap.prefetch(k);
    const V y = clamp<T>(tap.y_at(k), before, height), x = clamp<T>(tap.x_at(k), before, width);
    const V top = round_down<T>(y), left = round_down<T>(x);
    store_integers<T>(plan.start + k, to_integers<T>(top) * row + to_integers<T>(left) * C);
    const V strength = tap.mask_at(k);
    const V below = y - top;
    store<V>(plan.upper + k, (one - below) * strength);
    store<V>(plan.lower + k, below * strength);
    store<V>(plan.right + k, x - left);
  }
}

// Writes the samples of a tap, (positions, C), and those of up to seven more positions. `frame` is the first pixel
// inside the border; rows are `row` elements apart. Inlined, it would share the caller's general registers.
template <int C, class T>
[[gnu::noinline]] void sample_positions(const PaddedPlan<T>& plan, int64_t positions, const T* frame, int64_t row,
                                        T* columns) {
  const T* const next_row = frame + row;
  const auto top = [&](int64_t position) { return frame + plan.start[position]; };
  const auto bottom = [&](int64_t position) { return next_row + plan.start[position]; };
  if constexpr (C > 4) {
    using V = typename VectorOf<T, int(sizeof(T)) * C>::type;
    for (int64_t k = 0; k < positions; ++k) {
      const V left = plan.upper[k] * load<V>(top(k)) + plan.lower[k] * load<V>(bottom(k));
      const V right = plan.upper[k] * load<V>(top(k) + C) + plan.lower[k] * load<V>(bottom(k) + C);
      store<V>(columns + k * C, (T(1) - plan.right[k]) * left + plan.right[k] * right);
    }
  } else if constexpr (C == 4) {
    using V = typename VectorOf<T, int(sizeof(T)) * 2 * C>::type;
#pragma GCC unroll 2
    for (int64_t k = 0; k < positions; k += 2) {
      const auto blend = [&](int64_t k) {
        return plan.upper[k] * load<V>(top(k)) + plan.lower[k] * load<V>(bottom(k));
      };
      const V a = blend(k), b = blend(k + 1);
      const V left = LS3D_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
      const V right = LS3D_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
      const V rights = load<V>(plan.right + k), w = LS3D_SHUFFLE(rights, rights, 0, 0, 0, 0, 1, 1, 1, 1);
      store<V>(columns + k * C, (T(1) - w) * left + w * right);
    }
  } else if constexpr (C == 2) {
#pragma GCC unroll 2
    for (int64_t k = 0; k < positions; k += 2) {
      const auto blend = [&](int64_t k) {
        return plan.upper[k] * load<Four<T>>(top(k)) + plan.lower[k] * load<Four<T>>(bottom(k));
      };
      const Four<T> a = blend(k), b = blend(k + 1);
      const Four<T> left = LS3D_SHUFFLE(a, b, 0, 1, 4, 5), right = LS3D_SHUFFLE(a, b, 2, 3, 6, 7);
      const Four<T> rights = load<Four<T>>(plan.right + k), w = LS3D_SHUFFLE(rights, rights, 0, 0, 1, 1);
      store(columns + 2 * k, (T(1) - w) * left + w * right);
    }
  } else {
    using Two = typename VectorOf<T, 2 * int(sizeof(T))>::type;
    constexpr int count = lanes<T>() < 8 ? 4 : 8;
    using V = typename VectorOf<T, int(sizeof(T)) * count>::type;
    for (int64_t k = 0; k < positions; k += count) {
      // The left and the right ones of the corners in a row.
      const auto corners = [&](auto corner, V& left, V& right) {
        const auto two = [&](int64_t first) {
          const auto one = [&](int64_t position) { return load<Two>(corner(position)); };
          return LS3D_SHUFFLE(one(first), one(first + 1), 0, 1, 2, 3);
        };
        if constexpr (count == 4) {
          const V a = two(k), b = two(k + 2);
          left = LS3D_SHUFFLE(a, b, 0, 2, 4, 6);
          right = LS3D_SHUFFLE(a, b, 1, 3, 5, 7);
        } else {
          const V a = LS3D_SHUFFLE(two(k), two(k + 4), 0, 1, 2, 3, 4, 5, 6, 7);
          const V b = LS3D_SHUFFLE(two(k + 2), two(k + 6), 0, 1, 2, 3, 4, 5, 6, 7);
          left = LS3D_SHUFFLE(a, b, 0, 2, 8, 10, 4, 6, 12, 14);
          right = LS3D_SHUFFLE(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
        }
      };
      V top_left, top_right, bottom_left, bottom_right;
      corners(top, top_left, top_right);
      corners(bottom, bottom_left, bottom_right);
      const V upper = load<V>(plan.upper + k), lower = load<V>(plan.lower + k), w = load<V>(plan.right + k);
      store(columns + k,
            (T(1) - w) * (upper * top_left + lower * bottom_left) + w * (upper * top_right + lower * bottom_right));
    }
  }
}

// Adds the products of samples and weights for a tile to `sums`, (positions, out_channels), or, for one channel and if
// they aren't null, to `planes`, (out_channels, positions), where the positions must be whole vectors.
template <int Channels, class T>
void forward_few_channels(const KernelCall& call, const Sizes& sizes, const PaddedInput<T>& padded, const T* packed,
                          const Tile& tile, const Grid<T>& grid, PaddedPlan<T>& plan, T* columns, Sums<T> sums,
                          Sums<T> planes) {
  constexpr int W = panel_width<T>(), C = padded_channels(Channels);
  const Range taps = taps_in_clip(call, tile.frame);
  const int64_t last = taps.last * sizes.spatial_taps, panel = sizes.depth * W;
  constexpr int64_t most = kTile / C;  // taps that fit into the columns
  TapReader<T> reader(call, tile, grid, 0, 0, tile.size());
  for (int64_t begin = taps.first * sizes.spatial_taps; begin < last; begin += most) {
    const int64_t end = minimum(begin + most, last);
    for (int64_t tap = begin; tap < end; ++tap) {
      const T* frame =
          padded.data.get() + (kBorder * padded.row + kBorder * C) +
          (tile.sample * call.in_size[0] + frame_read_by(call, tile.frame, tap / sizes.spatial_taps)) * padded.frame;
      fill_plan(plan, padded, reader.read(tap));
      sample_positions<C>(plan, tile.size(), frame, padded.row, columns + (tap - begin) * C * kTileRow);
    }
    const T* weights = packed + begin * Channels * W;
    if (Channels == 1 && planes.data) {
      for (int64_t o = 0; o < call.out_channels; o += W, weights += panel)
        gemm<T, 1, W>(weights, columns, W, kTileRow, planes.at(o, 0), minimum(W, call.out_channels - o), tile.size(),
                      end - begin);
      planes = planes.started();
      continue;
    }
    gemm<T, C, 1, Channels>(columns, weights, panel, W, sums, tile.size(), call.out_channels, (end - begin) * Channels,
                            0, C * kTileRow - Channels);
    sums = sums.started();
  }
}

}  // namespace
}  // namespace ls3d
