// Rows of pictures: how they are shared among threads, and box filters that take them from top to bottom.
#pragma once

#include <algorithm>
#include <cstdint>

#include "simd.h"

namespace ls3d {
namespace {

// Eight lanes on every instruction set, so that sums have one order.
using Eight = VectorOf<float, 32>::type;
using EightInts = VectorOf<int32_t, 32>::type;
constexpr int64_t kLanes = 8;

constexpr int64_t kMostBoxRadius = 7;

struct Size {
  int64_t height, width;
  int64_t pixels() const { return height * width; }
};

// Rows are worked on in bands, each by one thread. No result depends on their number.
inline int64_t bands_of(int64_t rows, int64_t threads) {
  constexpr int64_t kLeastRows = 16;  // the rows around a band are computed twice
  return threads <= 1 ? 1 : std::max<int64_t>(1, std::min(2 * threads, rows / kLeastRows));
}

// Calls work(band, first row, row after the last) for every band.
template <class Work>
void for_bands(int64_t rows, int64_t threads, const Work& work) {
  const int64_t bands = bands_of(rows, threads);
#pragma omp parallel for num_threads(std::min(bands, threads)) schedule(dynamic) if (bands > 1)
  for (int64_t band = 0; band < bands; ++band) work(band, rows * band / bands, rows * (band + 1) / bands);
}

inline int64_t clamped(int64_t value, int64_t end) { return std::min(std::max<int64_t>(value, 0), end - 1); }

// Sums over a square window; beyond the edge, the edge. Rows are pushed from top to bottom.
class BoxFilter {
 public:
  static int64_t floats(int64_t radius, int64_t width) { return (2 * radius + 1) * width; }

  BoxFilter() = default;
  BoxFilter(float* memory, int64_t radius, Size size) : rows_(memory), radius_(radius), size_(size) {}

  // `padded` holds the row from element `radius` on, and has room for `radius` more elements at each end.
  void push(int64_t y, float* padded) {
    const int64_t width = size_.width, side = 2 * radius_ + 1;
    std::fill(padded, padded + radius_, padded[radius_]);
    std::fill(padded + radius_ + width, padded + 2 * radius_ + width, padded[radius_ + width - 1]);
    float* sums = rows_ + y % side * width;
    switch (radius_) {  // a known number of terms is added in registers
      case 2:
        return add_columns<5>(padded, sums, 5);
      case 3:
        return add_columns<7>(padded, sums, 7);
      default:
        return add_columns<0>(padded, sums, side);
    }
  }

  // Row y of the result, times `scale`; rows y - radius to y + radius have been pushed, as far as they exist.
  void sum(int64_t y, float scale, float* out) const {
    const int64_t side = 2 * radius_ + 1;
    switch (radius_) {
      case 2:
        return add_rows<5>(y, scale, out, 5);
      case 3:
        return add_rows<7>(y, scale, out, 7);
      default:
        return add_rows<0>(y, scale, out, side);
    }
  }

 private:
  template <int Side>
  void add_columns(const float* __restrict padded, float* __restrict sums, int64_t side) const {
    const int64_t terms = Side ? Side : side;
    for (int64_t x = 0; x < size_.width; ++x) {
      float total = padded[x];
      for (int64_t k = 1; k < terms; ++k) total += padded[x + k];
      sums[x] = total;
    }
  }

  template <int Side>
  void add_rows(int64_t y, float scale, float* __restrict out, int64_t side) const {
    const int64_t terms = Side ? Side : side;
    const float* rows[kMostBoxRadius * 2 + 1];
    for (int64_t k = 0; k < terms; ++k) rows[k] = rows_ + clamped(y + k - radius_, size_.height) % side * size_.width;
    for (int64_t x = 0; x < size_.width; ++x) {
      float total = rows[0][x];
      for (int64_t k = 1; k < terms; ++k) total += rows[k][x];
      out[x] = total * scale;
    }
  }

  float* rows_ = nullptr;
  int64_t radius_ = 0;
  Size size_{};
};

// Pushes what `make(y, padded row)` writes into filters as late as possible.
struct Feed {
  int64_t next;  // row to push

  // The first row that a band from `first` on needs.
  Feed(int64_t first, int64_t radius) : next(std::max<int64_t>(0, first - radius)) {}

  template <class Make>
  void until(int64_t y, int64_t radius, int64_t height, const Make& make) {
    for (const int64_t last = std::min(y + radius, height - 1); next <= last; ++next) make(next);
  }
};

}  // namespace
}  // namespace ls3d
