// C = A B or C += A B for one tile of positions, blocked for registers. A is read by element, B and C by vector.
#pragma once

#include "simd.h"

namespace ls3d {
namespace {

// The inner dimension of a product: `runs` times `run` elements. A's elements of a run are `Step` apart, and the next
// run starts `jump` elements after the end of the one before. B's rows are consecutive.
struct Depth {
  int64_t run, runs = 1, jump = 0;
};

// One register tile of C: M rows of N vectors. Row i of A starts at a + i * Row; row k of B starts at b + k * ldb, row
// i of C at c + i * ldc.
template <class T, bool Add, int M, int N, int Row, int Step>
inline void micro_kernel(const T* a, const T* b, int64_t ldb, T* c, int64_t ldc, Depth depth) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  V sum[M][N];
#pragma GCC unroll 32
  for (int i = 0; i < M; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) sum[i][j] = Add ? load<V>(c + i * ldc + j * L) : V{};
  for (int64_t run = 0; run < depth.runs; ++run, a += depth.jump)
    for (int64_t k = 0; k < depth.run; ++k) {
      V row[N];
#pragma GCC unroll 2
      for (int j = 0; j < N; ++j) row[j] = load<V>(b + j * L);
#pragma GCC unroll 32
      for (int i = 0; i < M; ++i)
#pragma GCC unroll 2
        for (int j = 0; j < N; ++j) sum[i][j] += a[i * Row] * row[j];
      a += Step;
      b += ldb;
    }
#pragma GCC unroll 32
  for (int i = 0; i < M; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) store<V>(c + i * ldc + j * L, sum[i][j]);
}

// A column of register tiles. The rows that remain after tiles of M rows go to tiles of M / 2 rows, and so on.
template <class T, bool Add, int M, int N, int Row, int Step>
inline void column(const T* a, const T* b, int64_t ldb, T* c, int64_t ldc, int64_t rows, Depth depth) {
  for (; rows >= M; rows -= M, a += M * Row, c += M * ldc)
    micro_kernel<T, Add, M, N, Row, Step>(a, b, ldb, c, ldc, depth);
  if constexpr (M > 1)
    if (rows > 0) column<T, Add, M / 2, N, Row, Step>(a, b, ldb, c, ldc, rows, depth);
}

constexpr int kPanel = 2;  // vectors in a full panel of B: the width of a register tile, see kRows

template <class T>
constexpr int panel_width() {
  return kPanel * lanes<T>();
}

// C (rows x width) = A (rows x depth) B (depth x width), or += with Add. B consists of panels, (depth, panel_width)
// each with row stride ldb; panel j starts at b + j * panel. Rows of C are written up to the next whole vector.
template <class T, bool Add, int Row, int Step>
void gemm(const T* a, const T* b, int64_t panel, int64_t ldb, T* c, int64_t ldc, int64_t rows, int64_t width,
          Depth depth) {
  constexpr int W = panel_width<T>();
  for (int64_t j = 0; j < width; j += W, b += panel, c += W) {
    if (width - j > lanes<T>())
      column<T, Add, kRows, 2, Row, Step>(a, b, ldb, c, ldc, rows, depth);
    else
      column<T, Add, 2 * kRows, 1, Row, Step>(a, b, ldb, c, ldc, rows, depth);
  }
}

}  // namespace
}  // namespace ls3d
