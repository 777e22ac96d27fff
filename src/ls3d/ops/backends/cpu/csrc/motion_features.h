// What bilateral_motion compares: at every level, the colors without their local mean, and without
// the mean of the frame. A gain makes the contrasts of the two frames equal.
#pragma once

#include <cmath>
#include <vector>

#include "motion.h"
#include "motion_rows.h"

namespace ls3d {
namespace {

constexpr int64_t kColors = 3;
constexpr int64_t kFeatures = 6;

// Sizes of the levels, the coarsest first; an odd row or column counts as a whole one.
inline std::vector<Size> sizes_of(const MotionCall& call) {
  std::vector<Size> sizes(call.levels);
  Size size{call.height, call.width};
  for (int64_t k = call.levels - 1; k >= 0; --k) sizes[k] = size = {(size.height + 1) / 2, (size.width + 1) / 2};
  return sizes;
}

// A picture of three color planes with any strides.
struct Picture {
  const float* data;
  Size size;
  int64_t color, row, column;  // strides
};

// The mean of each 2x2 pixels; an odd last row or column is repeated.
inline void halve(const Picture& from, float* to, int64_t threads) {
  const Size size{(from.size.height + 1) / 2, (from.size.width + 1) / 2};
  for_bands(kColors * size.height, threads, [&](int64_t, int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      const int64_t color = k / size.height, y = k % size.height;
      const float* upper = from.data + color * from.color + 2 * y * from.row;
      const float* lower = upper + (2 * y + 1 < from.size.height ? from.row : 0);
      float* out = to + k * size.width;
      for (int64_t x = 0; x < size.width; ++x) {
        const int64_t left = 2 * x * from.column, right = left + (2 * x + 1 < from.size.width ? from.column : 0);
        out[x] = ((upper[left] + upper[right]) + (lower[left] + lower[right])) * 0.25f;
      }
    }
  });
}

struct Statistics {
  float mean[kColors];
  float contrast;  // mean distance of the pixels from the mean, summed over colors
};

// Of a picture of color planes. The sums are in double, so that rounding doesn't depend on their order.
inline Statistics statistics_of(const float* picture, Size size) {
  const int64_t pixels = size.pixels();
  Statistics result{};
  for (int64_t c = 0; c < kColors; ++c) {
    const float* plane = picture + c * pixels;
    double total = 0.0, distance = 0.0;
    for (int64_t k = 0; k < pixels; ++k) total += plane[k];
    const float mean = result.mean[c] = float(total / double(pixels));
    for (int64_t k = 0; k < pixels; ++k) distance += std::fabs(plane[k] - mean);
    result.contrast += float(distance / double(pixels));
  }
  return result;
}

// What a frame is multiplied by so that both have the same contrast; the two gains have the mean one.
inline float gain_of(float own, float other) {
  const float total = own + other;
  return total > 0.0f ? other * 2.0f / total : 1.0f;
}

// Floats that a band of features_of works in.
inline int64_t features_workspace(const MotionCall& call, Size size) {
  return kColors * BoxFilter::floats(call.mean_radius, size.width) + size.width + 2 * call.mean_radius;
}

// Features of a picture, eight floats for each pixel, of which the last two are zero.
inline void features_of(const MotionCall& call, const float* picture, Size size, const float* mean, float gain,
                        float* features, float* workspace) {
  const int64_t radius = call.mean_radius, share = features_workspace(call, size);
  const float scale = float(1.0 / double((2 * radius + 1) * (2 * radius + 1)));
  for_bands(size.height, call.threads, [&](int64_t band, int64_t first, int64_t last) {
    float* padded = workspace + band * share;
    float* local = padded + radius;
    float* rings = padded + size.width + 2 * radius;
    BoxFilter filters[kColors];
    for (int64_t c = 0; c < kColors; ++c)
      filters[c] = BoxFilter(rings + c * BoxFilter::floats(radius, size.width), radius, size);
    Feed feed(first, radius);
    for (int64_t y = first; y < last; ++y) {
      feed.until(y, radius, size.height, [&](int64_t row) {
        for (int64_t c = 0; c < kColors; ++c) {
          const float* colors = picture + (c * size.height + row) * size.width;
          std::copy(colors, colors + size.width, local);
          filters[c].push(row, padded);
        }
      });
      float* out = features + y * size.width * kLanes;
      for (int64_t c = 0; c < kColors; ++c) {
        const float* colors = picture + (c * size.height + y) * size.width;
        filters[c].sum(y, scale, local);
        for (int64_t x = 0; x < size.width; ++x) {
          out[x * kLanes + c] = (colors[x] - local[x]) * gain;
          out[x * kLanes + kColors + c] = (colors[x] - mean[c]) * gain;
        }
      }
      for (int64_t x = 0; x < size.width; ++x) out[x * kLanes + 6] = out[x * kLanes + 7] = 0.0f;
    }
  });
}

}  // namespace
}  // namespace ls3d
