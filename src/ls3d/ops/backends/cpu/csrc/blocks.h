// Groups of 2, 4 or 8 input channels and as many output channels, fewer than a vector holds: the outputs of several
// groups fill a vector. It is the sum, over the inputs of a group, of weights times that input of each lane's group.
#pragma once

#include <utility>

#include "gemm.h"
#include "sizes.h"

namespace ls3d {
namespace {

// Whether the outputs of all groups can be computed so.
template <class T>
bool is_blocks(const KernelCall& call, const Sizes& sizes) {
#ifdef LS3D_SHUFFLES_ARE_SLOW
  return false;
#endif
  const int64_t size = sizes.in_group;
  return (size == 2 || size == 4 || size == 8) && size == sizes.out_group && size < lanes<T>() &&
         call.out_channels % lanes<T>() == 0;
}

// Copies the weights, whose elements are S, to `packed`, (taps, in_group, out_channels). Called by all threads of a
// parallel region.
template <class S, class T>
void pack_blocks(const KernelCall& call, const Sizes& sizes, const std::vector<int64_t>& distances, T* packed) {
#pragma omp for schedule(static)
  for (int64_t o = 0; o < call.out_channels; ++o)
    for (int64_t channel = 0; channel < sizes.in_group; ++channel) {
      const S* from =
          static_cast<const S*>(call.weight.data) + o * call.weight.stride[0] + channel * call.weight.stride[1];
      for (int64_t tap = 0; tap < sizes.taps; ++tap)
        packed[(tap * sizes.in_group + channel) * call.out_channels + o] = widen(from[distances[tap]]);
    }
}

// Element K of each block of Size elements, in all lanes of the block.
template <int Size, int K, class V, int... Lane>
inline V spread(V v, std::integer_sequence<int, Lane...>) {
  return LS3D_SHUFFLE(v, v, (Lane / Size * Size + K)...);
}

// Adds to M rows of one vector of outputs. Row i of the samples of the vector's groups starts at a + i * kRow, that of
// the next tap `a_step` elements later; the weights of the next input start `b_step` elements after one's.
template <class T, int M, int Size, int... K>
inline void block_kernel(const T* a, int64_t a_step, const T* b, int64_t b_step, T* c, int64_t ldc, int64_t taps,
                         std::integer_sequence<int, K...>) {
  using V = Vector<T>;
  constexpr auto all = std::make_integer_sequence<int, lanes<T>()>();
  V sum[M];
#pragma GCC unroll 32
  for (int i = 0; i < M; ++i) sum[i] = load<V>(c + i * ldc);
  for (int64_t tap = 0; tap < taps; ++tap, a += a_step, b += Size * b_step) {
    const V weight[Size] = {load<V>(b + K * b_step)...};
#pragma GCC unroll 32
    for (int i = 0; i < M; ++i) {
      const V samples = load<V>(a + i * kRow);
      ((sum[i] += weight[K] * spread<Size, K>(samples, all)), ...);
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < M; ++i) store<V>(c + i * ldc, sum[i]);
}

// All rows of one vector of outputs.
template <class T, int M, int Size>
inline void block_column(const T* a, int64_t a_step, const T* b, int64_t b_step, T* c, int64_t ldc, int64_t rows,
                         int64_t taps) {
  for (; rows >= M; rows -= M, a += M * kRow, c += M * ldc)
    block_kernel<T, M, Size>(a, a_step, b, b_step, c, ldc, taps, std::make_integer_sequence<int, Size>());
  if constexpr (M > 1)
    if (rows > 0) block_column<T, M / 2, Size>(a, a_step, b, b_step, c, ldc, rows, taps);
}

// Adds to `sums`, (positions, out_channels), for some groups, whose channels are [first, first + channels): the
// products of `columns`, (positions, taps, channels), with the weights `packed` of the first of those taps.
template <class T>
void multiply_blocks(const KernelCall& call, const Sizes& sizes, const T* columns, int64_t taps, int64_t first,
                     int64_t channels, const T* packed, T* sums, int64_t sums_row, int64_t positions) {
  const auto run = [&](auto size) {
    if constexpr (size.value < lanes<T>())
      for (int64_t c = 0; c < channels; c += lanes<T>())
        block_column<T, kRows, size.value>(columns + c, channels, packed + first + c, call.out_channels,
                                           sums + first + c, sums_row, positions, taps);
  };
  if (sizes.in_group == 2) run(std::integral_constant<int, 2>());
  if (sizes.in_group == 4) run(std::integral_constant<int, 4>());
  if (sizes.in_group == 8) run(std::integral_constant<int, 8>());
}

}  // namespace
}  // namespace ls3d
