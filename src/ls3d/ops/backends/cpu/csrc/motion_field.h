// Motion fields of bilateral_motion between two passes: the 3x3 median, and the step to the next finer level.
#pragma once

#include "motion_rows.h"

namespace ls3d {
namespace {

inline void order(float& low, float& high) {
  const float smaller = high < low ? high : low, larger = high < low ? low : high;
  low = smaller;
  high = larger;
}

// The median of nine values by a network of exchanges.
inline float median_of(float (&v)[9]) {
  constexpr int kExchanges[19][2] = {{1, 2}, {4, 5}, {7, 8}, {0, 1}, {3, 4}, {6, 7}, {1, 2}, {4, 5}, {7, 8}, {0, 3},
                                     {5, 8}, {4, 7}, {3, 6}, {1, 4}, {2, 5}, {4, 7}, {4, 2}, {6, 4}, {4, 2}};
  for (const auto& pair : kExchanges) order(v[pair[0]], v[pair[1]]);
  return v[4];
}

// The 3x3 median of a plane; beyond the edge, the edge.
inline void median(const float* from, Size size, int64_t threads, float* to) {
  for_bands(size.height, threads, [&](int64_t, int64_t first, int64_t last) {
    for (int64_t y = first; y < last; ++y) {
      const float* rows[3];
      for (int64_t k = 0; k < 3; ++k) rows[k] = from + clamped(y + k - 1, size.height) * size.width;
      const auto at = [&](int64_t left, int64_t x, int64_t right) {
        float window[9];
        for (int64_t k = 0; k < 3; ++k) {
          window[3 * k] = rows[k][left];
          window[3 * k + 1] = rows[k][x];
          window[3 * k + 2] = rows[k][right];
        }
        return median_of(window);
      };
      float* out = to + y * size.width;
      const int64_t end = size.width - 1;
      out[0] = at(0, 0, std::min<int64_t>(1, end));
      for (int64_t x = 1; x < end; ++x) out[x] = at(x - 1, x, x + 1);
      out[end] = at(std::max<int64_t>(end - 1, 0), end, end);
    }
  });
}

// One of the two values between `near` and its neighbor, for twice as many values.
inline float between(float near, float neighbor, bool second) {
  return second ? near * 0.75f + neighbor * 0.25f : neighbor * 0.25f + near * 0.75f;
}

// A plane of the next finer level: bilinear, and pixels count double there. A band works in `from`'s width.
inline void enlarge(const float* from, Size coarse, Size size, int64_t threads, float* to, float* workspace) {
  for_bands(size.height, threads, [&](int64_t band, int64_t first, int64_t last) {
    float* tall = workspace + band * coarse.width;
    for (int64_t y = first; y < last; ++y) {
      const float* near = from + y / 2 * coarse.width;
      const float* other = from + clamped(y / 2 + (y % 2 ? 1 : -1), coarse.height) * coarse.width;
      for (int64_t x = 0; x < coarse.width; ++x) tall[x] = between(near[x], other[x], y % 2);
      float* out = to + y * size.width;
      for (int64_t x = 0; x < size.width; ++x) {
        const int64_t neighbor = clamped(x / 2 + (x % 2 ? 1 : -1), coarse.width);
        out[x] = between(tall[x / 2], tall[neighbor], x % 2) * 2.0f;
      }
    }
  });
}

}  // namespace
}  // namespace ls3d
