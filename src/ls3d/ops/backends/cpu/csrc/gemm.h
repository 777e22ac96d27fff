// C = start + A B for one tile of positions, blocked for registers. A is read by element, B and C by vector.
#pragma once

#include "bfloat16.h"

namespace ls3d {
namespace {

constexpr int kPanel = 2;  // vectors in a full panel of B: the width of a register tile, see kRows

template <class T>
constexpr int panel_width() {
  return kPanel * lanes<T>();
}

// Values of Run: there are no gaps between A's elements; or there are, and `run` elements between two of them. Else Run
// itself is their number, `depth` is a multiple of it, and ldb is the width of a panel.
constexpr int kNoGaps = 0, kAnyRun = -1;

// One register tile of C: M rows of N vectors. A's element (i, k) is a[i * Row + k * Step]; row k of B starts at
// b + k * ldb. A gap is of `jump` elements that are passed over, see Run. `between` is called after every kBetween
// steps, see gemm.
template <class T, int M, int N, int Row, int Step, int Run, class F>
inline void micro_kernel(const T* a, const T* b, int64_t ldb, const Sums<T>& c, int64_t depth, int64_t run,
                         int64_t jump, F& between) {
  using V = Vector<T>;
  constexpr int L = lanes<T>();
  V sum[M][N];
#pragma GCC unroll 32
  for (int i = 0; i < M; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) sum[i][j] = c.start ? load<V>(c.start + i * c.start_row + j * L) : V{};
  int64_t k = 0, left = run;
  const auto step = [&]() __attribute__((always_inline)) {
    V row[N];
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) row[j] = load<V>(b + j * L);
#pragma GCC unroll 32
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < N; ++j) sum[i][j] += a[i * Row] * row[j];
    a += Step;
    b += Run > 0 ? panel_width<T>() : ldb;
    if (Run == kAnyRun && --left == 0) {
      a += jump;
      left = run;
    }
  };
  if constexpr (Run > 0)
    for (; k < depth; k += Run, a += jump) {
#pragma GCC unroll 1  // else GCC 12 stores a sum in every step
      for (int i = 0; i < Run; ++i) step();
    }
  if constexpr (!std::is_same_v<F, Nothing>)
    for (; k + kBetween <= depth; k += kBetween) {
#pragma GCC unroll 1
      for (int i = 0; i < kBetween; ++i) step();
      between();
    }
  for (; k < depth; ++k) step();
#pragma GCC unroll 32
  for (int i = 0; i < M; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) store<V>(c.data + i * c.row + j * L, sum[i][j]);
}

// A column of register tiles. The rows that remain after tiles of M rows go to tiles of M / 2 rows, and so on.
template <class T, int M, int N, int Row, int Step, int Run, class E, class F>
inline void column(const E* a, const E* b, int64_t ldb, Sums<T> c, int64_t rows, int64_t depth, int64_t run,
                   int64_t jump, F& between) {
  for (; rows >= M; rows -= M, a += M * Row, c = c.at(M, 0)) {
    if constexpr (std::is_same_v<E, T>)
      micro_kernel<T, M, N, Row, Step, Run>(a, b, ldb, c, depth, run, jump, between);
    else
      micro_kernel_of_pairs<M, N, Row>(a, b, ldb, c, depth, between);
  }
  Nothing nothing;
  if constexpr (M > 1)
    if (rows > 0) column<T, M / 2, N, Row, Step, Run>(a, b, ldb, c, rows, depth, run, jump, nothing);
}

// C (rows x width) = start (rows x width, see Sums) + A (rows x depth) B (depth x width). B consists of panels,
// (depth, panel_width) each with row stride ldb; panel j starts at b + j * panel. Rows of C are written, and those of
// the start read, up to the next whole vector. For Run, `run` and `jump` see micro_kernel. Elements of A and B are
// those of C, or, with a start and a Step of 1, pairs.
//
// `between` is called calls_between times: while the processor multiplies, it has time for loads and for other
// instructions. What `between` does must be inlined, and leave most vector registers alone.
template <class T, int Row, int Step, int Run = kNoGaps, class E = T, class F = Nothing>
void gemm(const E* a, const E* b, int64_t panel, int64_t ldb, Sums<T> c, int64_t rows, int64_t width, int64_t depth,
          int64_t run = 0, int64_t jump = 0, F&& between = F()) {
  constexpr int W = panel_width<T>();
  for (int64_t j = 0; j < width; j += W, b += panel, c = c.at(0, W)) {
    if (width - j > lanes<T>())
      column<T, kRows, 2, Row, Step, Run>(a, b, ldb, c, rows, depth, run, jump, between);
    else
      column<T, 2 * kRows, 1, Row, Step, Run>(a, b, ldb, c, rows, depth, run, jump, between);
  }
}

// The number of steps of full register tiles of gemm, divided by kBetween.
template <class T>
int64_t calls_between(int64_t rows, int64_t width, int64_t depth) {
  const int64_t vectors = (width + lanes<T>() - 1) / lanes<T>();
  return (vectors / 2 * (rows / kRows) + vectors % 2 * (rows / (2 * kRows))) * (depth / kBetween);
}

}  // namespace
}  // namespace ls3d
