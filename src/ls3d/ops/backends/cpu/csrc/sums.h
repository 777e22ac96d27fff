// Where products of samples and weights are added up.
#pragma once

#include <cstring>

#include "simd.h"

namespace ls3d {
namespace {

// A matrix of sums, whose rows are `row` elements apart, and its start, the matrix that products are added to: zeros if
// `start` is null, else one whose rows are `start_row` elements apart, 0 if they are all the same. It may be the matrix
// of sums itself. Reading the start with the first products spares a pass over memory that isn't in a cache.
template <class T>
struct Sums {
  T* data;
  int64_t row;
  const T* start = nullptr;
  int64_t start_row = 0;

  // From row r and column c on.
  Sums at(int64_t r, int64_t c) const {
    return {data + r * row + c, row, start ? start + r * start_row + c : nullptr, start_row};
  }

  // For products that are added later: the start is the sums.
  Sums started() const { return {data, row, data, row}; }

  // Copies the start, which isn't null.
  Sums copy_start(int64_t rows, int64_t columns) const {
    for (int64_t r = 0; start != data && r < rows; ++r)
      std::memcpy(data + r * row, start + r * start_row, columns * sizeof(T));
    return started();
  }
};

}  // namespace
}  // namespace ls3d
