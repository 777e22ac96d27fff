// Groups of 2, 4 or 8 input channels and as many outputs, fewer than a vector holds. The outputs of several groups fill
// a vector, whose lanes get the samples of their own group by a shuffle: a product with a block-diagonal matrix would
// spread a NaN of one group to the others.
#pragma once

#include <utility>

#include "bfloat16.h"
#include "sizes.h"

namespace ls3d {
namespace {

// Whether the call has such groups, and they fill whole vectors.
template <class T>
bool has_small_groups(const KernelCall& call, const Sizes& sizes) {
#ifdef LS3D_SHUFFLES_ARE_SLOW
  return false;
#endif
  const int64_t size = sizes.in_group;
  return (size == 2 || size == 4 || size == 8) && size == sizes.out_group && size < lanes<T>() &&
         call.channels % lanes<T>() == 0;
}

// The number of elements of the packed weights.
inline int64_t small_groups_size(const KernelCall& call, const Sizes& sizes) { return sizes.depth * call.channels; }

// Calls run(size) with the size of a group as a type.
template <class T, class F>
inline void with_group_size(int64_t size, F run) {
  constexpr int L = lanes<T>();
  if constexpr (L > 2)
    if (size == 2) run(std::integral_constant<int, 2>());
  if constexpr (L > 4)
    if (size == 4) run(std::integral_constant<int, 4>());
  if constexpr (L > 8)
    if (size == 8) run(std::integral_constant<int, 8>());
}

// Copies the weights, whose elements are S, to `packed`, (taps, in_group, out_channels), for the outputs of each input
// of a group; or `Transposed`, (taps, out_group, in channels), for the gradients of the inputs by each output. Called
// by all threads of a parallel region.
template <bool Transposed, class S, class T>
void pack_small_groups(const KernelCall& call, const Sizes& sizes, const std::vector<int64_t>& distances, T* packed) {
  const int64_t size = sizes.in_group;
#pragma omp for schedule(static)
  for (int64_t lane = 0; lane < call.channels; ++lane)
    for (int64_t k = 0; k < size; ++k) {
      const int64_t o = Transposed ? lane / size * size + k : lane, channel = Transposed ? lane % size : k;
      const S* from =
          static_cast<const S*>(call.weight.data) + o * call.weight.stride[0] + channel * call.weight.stride[1];
      for (int64_t tap = 0; tap < sizes.taps; ++tap)
        packed[(tap * size + k) * call.channels + lane] = widen(from[distances[tap]]);
    }
}

// M rows of one vector of C = start + A B, see Sums: the sum over some taps. Row i of A starts at a + i * kRow,
// that of the next tap `a_step` elements later; the rows of B are `b_step` elements apart.
template <class T, int M, int Size, int... K>
inline void small_groups_kernel(const T* a, int64_t a_step, const T* b, int64_t b_step, const Sums<T>& c, int64_t taps,
                                std::integer_sequence<int, K...>) {
  using V = Vector<T>;
  constexpr auto all = std::make_integer_sequence<int, lanes<T>()>();
  V sum[M];
#pragma GCC unroll 32
  for (int i = 0; i < M; ++i) sum[i] = c.start ? load<V>(c.start + i * c.start_row) : V{};
  for (int64_t tap = 0; tap < taps; ++tap, a += a_step, b += Size * b_step) {
    const V weight[Size] = {load<V>(b + K * b_step)...};
#pragma GCC unroll 32
    for (int i = 0; i < M; ++i) {
      const V values = load<V>(a + i * kRow);
      ((sum[i] += weight[K] * spread<Size, K>(values, all)), ...);
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < M; ++i) store<V>(c.data + i * c.row, sum[i]);
}

// All rows of one vector.
template <class T, int M, int Size>
inline void small_groups_column(const T* a, int64_t a_step, const T* b, int64_t b_step, Sums<T> c, int64_t rows,
                                int64_t taps) {
  for (; rows >= M; rows -= M, a += M * kRow, c = c.at(M, 0))
    small_groups_kernel<T, M, Size>(a, a_step, b, b_step, c, taps, std::make_integer_sequence<int, Size>());
  if constexpr (M > 1)
    if (rows > 0) small_groups_column<T, M / 2, Size>(a, a_step, b, b_step, c, rows, taps);
}

// `results`, (positions, channels), of the groups that have these channels, from `values`, (positions, taps, channels)
// with row stride kRow, and packed weights: those of the first tap and channel start at `packed`.
template <class T>
void multiply_small_groups(const KernelCall& call, const Sizes& sizes, const T* values, int64_t taps, int64_t channels,
                           const T* packed, const Sums<T>& results, int64_t positions) {
  with_group_size<T>(sizes.in_group, [&](auto size) {
    for (int64_t c = 0; c < channels; c += lanes<T>())
      small_groups_column<T, kRows, size.value>(values + c, channels, packed + c, call.channels, results.at(0, c),
                                                positions, taps);
  });
}

// Adds, over positions, the products of some channels' samples of one tap, (positions, kRow), and the output's
// gradient, (positions, kRow), to `sums`, (in_group, channels), whose row stride is `stride`.
template <class T, int Size, int... K>
void add_small_group_products(int64_t channels, int64_t positions, const T* samples, const T* outputs, T* sums,
                              int64_t stride, std::integer_sequence<int, K...>) {
  using V = Vector<T>;
  constexpr auto all = std::make_integer_sequence<int, lanes<T>()>();
  for (int64_t c = 0; c < channels; c += lanes<T>()) {
    V sum[Size] = {load<V>(sums + K * stride + c)...};
    for (int64_t position = 0; position < positions; ++position) {
      const V values = load<V>(samples + position * kRow + c), gradient = load<V>(outputs + position * kRow + c);
      ((sum[K] += gradient * spread<Size, K>(values, all)), ...);
    }
    (store<V>(sums + K * stride + c, sum[K]), ...);
  }
}

// Adds the owners' sums, (owners, taps, in_group, out_channels), to the weight's gradient. Called by all threads of a
// parallel region.
template <class T>
void add_small_group_sums(const KernelCall& call, const Sizes& sizes, const std::vector<int64_t>& distances,
                          const T* sums, int64_t owners) {
  const int64_t size = sizes.in_group, owned = small_groups_size(call, sizes);
#pragma omp for schedule(static)
  for (int64_t o = 0; o < call.channels; ++o)
    for (int64_t k = 0; k < size; ++k) {
      T* to = static_cast<T*>(call.grad_weight.data) + o * call.grad_weight.stride[0] + k * call.grad_weight.stride[1];
      for (int64_t tap = 0; tap < sizes.taps; ++tap) {
        T total = 0;
        for (int64_t owner = 0; owner < owners; ++owner)
          total += sums[owner * owned + (tap * size + k) * call.channels + o];
        to[distances[tap]] += total;
      }
    }
}

}  // namespace
}  // namespace ls3d
