// Products with few output channels, such as the three of a picture: gemm would fill a vector with them, and multiply
// zeros. Here each output is a dot product of a row of columns and a row of weights, a vector of both at a time.
#pragma once

#include "bfloat16.h"
#include "sizes.h"

namespace ls3d {
namespace {

constexpr int64_t kFewOutputs = 4;  // sums_of adds four vectors

// Whether a group's products are taken this way. Adding up the lanes of a short row would take too long; not tuned.
template <class T>
bool has_few_outputs(const KernelCall& call, const Sizes& sizes) {
  return !call.few_channels && sizes.bundle == 1 && sizes.out_group <= kFewOutputs && sizes.depth >= 4 * lanes<T>();
}

// The number of elements of a group's packed weights.
inline int64_t few_outputs_size(const Sizes& sizes) { return sizes.out_group * sizes.depth; }

// Copies the weights, whose elements are S, to `packed`, (out_channels, taps, in_group). Called by all threads of a
// parallel region.
template <class S, class T>
void pack_few_outputs(const KernelCall& call, const Sizes& sizes, const std::vector<int64_t>& distances, T* packed) {
#pragma omp for schedule(static)
  for (int64_t row = 0; row < call.out_channels * sizes.taps; ++row) {
    const int64_t o = row / sizes.taps, tap = row % sizes.taps;
    const S* from = static_cast<const S*>(call.weight.data) + o * call.weight.stride[0] + distances[tap];
    for (int64_t c = 0; c < sizes.in_group; ++c)
      packed[row * sizes.in_group + c] = widen(from[c * call.weight.stride[1]]);
  }
}

// Adds the products of M rows of columns, (M, kRow), and O rows of weights, `weight_row` elements apart, to `sums`.
template <class T, int M, int O>
inline void add_dot_products(const T* columns, const T* weights, int64_t weight_row, int64_t depth,
                             const Sums<T>& sums) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  V sum[M][kFewOutputs] = {};
  int64_t k = 0;
  for (; k + L <= depth; k += L) {
    V weight[O];
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o) weight[o] = load<V>(weights + o * weight_row + k);
#pragma GCC unroll 4
    for (int i = 0; i < M; ++i) {
      const V values = load<V>(columns + i * kRow + k);
#pragma GCC unroll 4
      for (int o = 0; o < O; ++o) sum[i][o] += values * weight[o];
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
    const Four<T> totals = sums_of<T>(sum[i]);
#pragma GCC unroll 4
    for (int o = 0; o < O; ++o) {
      T total = totals[o];
      for (int64_t rest = k; rest < depth; ++rest) total += columns[i * kRow + rest] * weights[o * weight_row + rest];
      sums.data[i * sums.row + o] += total;
    }
  }
}

// As gemm, for weights of pack_few_outputs: adds the products of `rows` rows of `depth` columns to `sums`.
template <class T, int O = 1>
void multiply_few_outputs(const T* columns, const T* weights, int64_t weight_row, int64_t depth, int64_t rows,
                          Sums<T> sums, int64_t outputs) {
  if constexpr (O < kFewOutputs)
    if (outputs > O) return multiply_few_outputs<T, O + 1>(columns, weights, weight_row, depth, rows, sums, outputs);
  for (; rows >= 4; rows -= 4, columns += 4 * kRow, sums = sums.at(4, 0))
    add_dot_products<T, 4, O>(columns, weights, weight_row, depth, sums);
  for (; rows > 0; --rows, columns += kRow, sums = sums.at(1, 0))
    add_dot_products<T, 1, O>(columns, weights, weight_row, depth, sums);
}

}  // namespace
}  // namespace ls3d
