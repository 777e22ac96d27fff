// Changes between (channels, positions) and (positions, channels): of whole tensors, and of the output of a tile.
#pragma once

#include <utility>

#include "ls3d.h"
#include "sizes.h"

namespace ls3d {
namespace {

// One of log2(L) steps of `transpose`: in each pair of rows i and i + Step, it swaps the second elements of the upper
// row's pairs, Step elements apart, for the first ones of the lower row's.
template <int Step, class V, int... Lane>
[[gnu::always_inline]] inline void swap_elements(V* rows, std::integer_sequence<int, Lane...>) {
  constexpr int L = sizeof...(Lane);
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) {
    if (i & Step) continue;
    const V upper = rows[i], lower = rows[i + Step];
    rows[i] = LS3D_SHUFFLE(upper, lower, (Lane & Step ? L + Lane - Step : Lane)...);
    rows[i + Step] = LS3D_SHUFFLE(upper, lower, (Lane & Step ? L + Lane : Lane + Step)...);
  }
}

// Transposes L vectors of L elements.
template <int Step, class V>
[[gnu::always_inline]] inline void transpose(V* rows) {
  constexpr int L = sizeof(V) / sizeof(rows[0][0]);
  if constexpr (Step < L) {
    swap_elements<Step>(rows, std::make_integer_sequence<int, L>());
    transpose<2 * Step>(rows);
  }
}

// to[column * to_row + row] = from[row * from_row + column]
template <class T>
void transpose(const T* from, int64_t from_row, int64_t rows, int64_t columns, T* to, int64_t to_row) {
  constexpr int L = lanes<T>();
#ifdef LS3D_SHUFFLES_ARE_SLOW
  const int64_t whole_rows = 0;
#else
  const int64_t whole_rows = rows / L * L;
#endif
  const auto copy = [&](int64_t row, int64_t column) { to[column * to_row + row] = from[row * from_row + column]; };
  for (int64_t row = 0; row < whole_rows; row += L) {
    int64_t column = 0;
    for (; column + L <= columns; column += L) {
      Vector<T> block[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) block[i] = load<Vector<T>>(from + (row + i) * from_row + column);
      transpose<1>(block);
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) store<Vector<T>>(to + (column + i) * to_row + row, block[i]);
    }
    for (; column < columns; ++column)
      for (int i = 0; i < L; ++i) copy(row + i, column);
  }
  for (int64_t column = 0; column < columns; ++column)
    for (int64_t row = whole_rows; row < rows; ++row) copy(row, column);
}

template <class T>
void transpose(const Transposition& call) {
  constexpr int64_t kBlock = 256;  // rows or columns that a thread takes at a time. Not tuned.
  const bool by_row = call.rows > call.columns;
  const int64_t blocks = divide_up(maximum(call.rows, call.columns), kBlock);
#pragma omp parallel for num_threads(call.threads) schedule(static)
  for (int64_t item = 0; item < call.batch * call.frames * blocks; ++item) {
    const int64_t frame = item / blocks, sample = frame / call.frames, first = item % blocks * kBlock;
    const T* from =
        static_cast<const T*>(call.from) + sample * call.from_sample + frame % call.frames * call.from_frame;
    T* to = static_cast<T*>(call.to) + sample * call.to_sample + frame % call.frames * call.to_frame;
    if (by_row)
      transpose(from + first * call.from_row, call.from_row, minimum(kBlock, call.rows - first), call.columns,
                to + first, call.to_row);
    else
      transpose(from + first, call.from_row, call.rows, minimum(kBlock, call.columns - first), to + first * call.to_row,
                call.to_row);
  }
}

}  // namespace
}  // namespace ls3d
