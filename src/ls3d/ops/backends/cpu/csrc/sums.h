// Where products of samples and weights are added up.
#pragma once

#include <cstring>

#include "simd.h"

namespace ls3d {
namespace {

// A matrix of sums, with `row` elements from one row to the next, and what products are added to: nothing if `start` is
// null, else a matrix with `start_row` elements from one row to the next, which may be the sums themselves, or 0 if all
// rows start alike. That rows start while products are added spares a pass over memory that isn't in a cache.
template <class T>
struct Sums {
  T* data;
  int64_t row;
  const T* start = nullptr;
  int64_t start_row = 0;

  Sums at(int64_t r, int64_t c) const {
    return {data + r * row + c, row, start ? start + r * start_row + c : nullptr, start_row};
  }

  // For products that are added later.
  Sums started() const { return {data, row, data, row}; }

  // Copies what products are added to.
  Sums copy_start(int64_t rows, int64_t columns) const {
    for (int64_t r = 0; start != data && r < rows; ++r)
      std::memcpy(data + r * row, start + r * start_row, columns * sizeof(T));
    return started();
  }
};

}  // namespace
}  // namespace ls3d
