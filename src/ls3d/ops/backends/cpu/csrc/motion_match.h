// Matching at one level of bilateral_motion: the difference of two frames along a motion, and the passes that search.
#pragma once

#include <cmath>

#include "motion_features.h"

namespace ls3d {
namespace {

// A motion for every pixel of a level, in its pixels.
struct Field {
  float* y;
  float* x;
};

struct MotionRow {
  const float* y;
  const float* x;
};

// Two frames at one level, and where between them the motion is seen from.
struct Match {
  const float* features[2];
  Size size;
  float factor[2];   // of the motion, for each frame: -t and 1 - t
  int64_t radius;    // of the grid search
  int64_t window;    // radius of the window over which differences are averaged
  int64_t neighbor;  // distance of the neighbors whose motion is tried
  double penalty;    // of a pixel of motion
  int64_t threads;

  float scale() const {
    const double side = double(2 * window + 1);
    return float(1.0 / (double(kFeatures) * side * side));
  }
};

// ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)) of the lanes of each of four vectors.
inline Four<float> sum_lanes(const Eight v[4]) {
  Four<float> half[4];
  for (int k = 0; k < 4; ++k)
    half[k] = __builtin_shufflevector(v[k], v[k], 0, 1, 2, 3) + __builtin_shufflevector(v[k], v[k], 4, 5, 6, 7);
  const Four<float> even =
      __builtin_shufflevector(half[0], half[1], 0, 4, 1, 5) + __builtin_shufflevector(half[0], half[1], 2, 6, 3, 7);
  const Four<float> odd =
      __builtin_shufflevector(half[2], half[3], 0, 4, 1, 5) + __builtin_shufflevector(half[2], half[3], 2, 6, 3, 7);
  return __builtin_shufflevector(even, odd, 0, 1, 4, 5) + __builtin_shufflevector(even, odd, 2, 3, 6, 7);
}

inline Eight clamp(Eight value, float end) {
  const Eight zero{}, last = zero + (end - 1.0f);
  value = value < 0.0f ? zero : value;
  return value > last ? last : value;
}

// Where eight bilinear samples lie in a frame's features, and the weights of their corners.
struct Samples {
  alignas(32) int32_t corner[4][kLanes];
  alignas(32) float weight[4][kLanes];

  Samples(Eight y, Eight x, Size size) {
    y = clamp(y, float(size.height));
    x = clamp(x, float(size.width));
    const EightInts top = __builtin_convertvector(y, EightInts), left = __builtin_convertvector(x, EightInts);
    const Eight below = y - __builtin_convertvector(top, Eight), right = x - __builtin_convertvector(left, Eight);
    const Eight above = 1.0f - below, beside = 1.0f - right;
    const int32_t width = int32_t(size.width);
    const EightInts start = (top * width + left) * int32_t(kLanes);
    const EightInts down = (top < int32_t(size.height) - 1) & (width * int32_t(kLanes));
    const EightInts across = (left < width - 1) & int32_t(kLanes);
    store(corner[0], start);
    store(corner[1], start + across);
    store(corner[2], start + down);
    store(corner[3], start + down + across);
    store(weight[0], above * beside);
    store(weight[1], above * right);
    store(weight[2], below * beside);
    store(weight[3], below * right);
  }

  Eight at(const float* features, int64_t k) const {
    Eight total = load<Eight>(features + corner[0][k]) * weight[0][k];
    for (int c = 1; c < 4; ++c) total += load<Eight>(features + corner[c][k]) * weight[c][k];
    return total;
  }
};

// The sum over features of the difference of the frames at eight pixels.
inline Eight difference(const Match& m, int64_t row, int64_t column, Eight y, Eight x) {
  const Eight lanes{0, 1, 2, 3, 4, 5, 6, 7};
  const Eight here = lanes + float(column);
  const Samples first(y * m.factor[0] + float(row), x * m.factor[0] + here, m.size);
  const Samples second(y * m.factor[1] + float(row), x * m.factor[1] + here, m.size);
  Eight apart[kLanes];
  for (int64_t k = 0; k < kLanes; ++k) {
    const Eight d = first.at(m.features[0], k) - second.at(m.features[1], k);
    apart[k] = (Eight)((EightInts)d & 0x7fffffff);  // without its sign
  }
  const Four<float> low = sum_lanes(apart), high = sum_lanes(apart + 4);
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
}

// A row of differences along `motion` plus (dy, dx).
inline void difference_row(const Match& m, int64_t row, MotionRow motion, float dy, float dx, float* out) {
  int64_t x = 0;
  for (; x + kLanes <= m.size.width; x += kLanes)
    store(out + x, difference(m, row, x, load<Eight>(motion.y + x) + dy, load<Eight>(motion.x + x) + dx));
  if (x == m.size.width) return;
  float y_part[kLanes] = {}, x_part[kLanes] = {}, result[kLanes];
  std::copy(motion.y + x, motion.y + m.size.width, y_part);
  std::copy(motion.x + x, motion.x + m.size.width, x_part);
  store(result, difference(m, row, x, load<Eight>(y_part) + dy, load<Eight>(x_part) + dx));
  std::copy(result, result + (m.size.width - x), out + x);
}

// The motions that are tried first: a position's own, that of four neighbors, none.
constexpr int64_t kCandidates = 6;

class Candidates {
 public:
  static int64_t floats(int64_t width) { return 3 * width; }

  Candidates(const Match& m, Field field, float* memory)
      : m_(m), field_(field), shifted_(memory), zero_(memory + 2 * m.size.width) {
    std::fill(zero_, zero_ + m.size.width, 0.0f);
  }

  // Row y of candidate k; the next call may overwrite it.
  MotionRow row(int64_t k, int64_t y) const {
    const int64_t far = m_.neighbor;
    switch (k) {
      case 0:
        return at(y);
      case 1:
        return at(clamped(y - far, m_.size.height));
      case 2:
        return at(clamped(y + far, m_.size.height));
      case 3:
        return shifted(at(y), -far);
      case 4:
        return shifted(at(y), far);
      default:
        return {zero_, zero_};
    }
  }

 private:
  MotionRow at(int64_t y) const { return {field_.y + y * m_.size.width, field_.x + y * m_.size.width}; }

  MotionRow shifted(MotionRow row, int64_t by) const {
    const int64_t width = m_.size.width;
    for (int64_t x = 0; x < width; ++x) {
      const int64_t from = clamped(x + by, width);
      shifted_[x] = row.y[from];
      shifted_[width + x] = row.x[from];
    }
    return {shifted_, shifted_ + width};
  }

  const Match& m_;
  Field field_;
  float* shifted_;
  float* zero_;
};

// What a band of select or search works in.
inline int64_t match_workspace(int64_t search_radius, int64_t window, Size size) {
  const int64_t side = 2 * search_radius + 1, maps = std::max(kCandidates, side * side);
  const int64_t padded = size.width + 2 * window, best = 2 * size.width;
  const int64_t map = size.width + BoxFilter::floats(window, size.width);
  return padded + best + Candidates::floats(size.width) + maps * map;
}

// A part of the workspace.
struct Workspace {
  float* next;
  float* take(int64_t floats) {
    float* part = next;
    next += floats;
    return part;
  }
};

// For every pixel the candidate of `motion` with the least cost.
inline void select(const Match& m, Field motion, Field chosen, float* workspace) {
  const int64_t width = m.size.width, radius = m.window;
  const int64_t share = match_workspace(m.radius, m.window, m.size);
  for_bands(m.size.height, m.threads, [&](int64_t band, int64_t first, int64_t last) {
    Workspace space{workspace + band * share};
    float* padded = space.take(width + 2 * radius);
    float* best = space.take(width);
    float* cost = space.take(width);
    const Candidates candidates(m, motion, space.take(Candidates::floats(width)));
    BoxFilter filters[kCandidates];
    for (BoxFilter& filter : filters) filter = BoxFilter(space.take(BoxFilter::floats(radius, width)), radius, m.size);
    const float penalty = float(m.penalty);
    Feed feed(first, radius);
    for (int64_t y = first; y < last; ++y) {
      feed.until(y, radius, m.size.height, [&](int64_t row) {
        for (int64_t k = 0; k < kCandidates; ++k) {
          difference_row(m, row, candidates.row(k, row), 0.0f, 0.0f, padded + radius);
          filters[k].push(row, padded);
        }
      });
      const MotionRow own = candidates.row(0, y);
      float* out_y = chosen.y + y * width;
      float* out_x = chosen.x + y * width;
      std::copy(own.y, own.y + width, out_y);
      std::copy(own.x, own.x + width, out_x);
      filters[0].sum(y, m.scale(), best);
      for (int64_t k = 1; k < kCandidates; ++k) {
        const MotionRow other = candidates.row(k, y);
        filters[k].sum(y, m.scale(), cost);
        for (int64_t x = 0; x < width; ++x) {
          const float apart = std::fabs(other.y[x] - own.y[x]) + std::fabs(other.x[x] - own.x[x]);
          const float total = cost[x] + apart * penalty;
          const bool better = total < best[x];
          best[x] = better ? total : best[x];
          out_y[x] = better ? other.y[x] : out_y[x];
          out_x[x] = better ? other.x[x] : out_x[x];
        }
      }
    }
  });
}

// Where the parabola through three costs has its minimum, from -1/2 to 1/2; 0 where there is none.
inline float vertex(float before, float best, float after) {
  const float curvature = (before - best) + (after - best);
  const float found = ((before - after) * 0.5f) / (curvature > 0.0f ? curvature : 1.0f);
  return curvature > 0.0f && std::fabs(found) <= 0.5f ? found : 0.0f;
}

// Around every pixel's `center`, the motion of the grid with the least cost, and its sub-pixel part.
inline void search(const Match& m, Field center, Field found, float* workspace) {
  const int64_t width = m.size.width, radius = m.window, reach = m.radius, side = 2 * reach + 1;
  const int64_t share = match_workspace(m.radius, m.window, m.size);
  for_bands(m.size.height, m.threads, [&](int64_t band, int64_t first, int64_t last) {
    Workspace space{workspace + band * share};
    float* padded = space.take(width + 2 * radius);
    float* costs = space.take(side * side * width);
    float* rings = space.take(side * side * BoxFilter::floats(radius, width));
    float* best = space.take(width);
    int32_t* index = reinterpret_cast<int32_t*>(space.take(width));
    const auto filter = [&](int64_t k) {
      return BoxFilter(rings + k * BoxFilter::floats(radius, width), radius, m.size);
    };
    const auto shift = [&](int64_t k) { return float(k - reach); };
    Feed feed(first, radius);
    for (int64_t y = first; y < last; ++y) {
      feed.until(y, radius, m.size.height, [&](int64_t row) {
        const MotionRow motion{center.y + row * width, center.x + row * width};
        for (int64_t k = 0; k < side * side; ++k) {
          difference_row(m, row, motion, shift(k / side), shift(k % side), padded + radius);
          filter(k).push(row, padded);
        }
      });
      for (int64_t k = 0; k < side * side; ++k) {
        float* cost = costs + k * width;
        const float away = float(m.penalty * double(std::fabs(shift(k / side)) + std::fabs(shift(k % side))));
        filter(k).sum(y, m.scale(), cost);
        for (int64_t x = 0; x < width; ++x) {
          cost[x] += away;
          const bool better = k == 0 || cost[x] < best[x];
          best[x] = better ? cost[x] : best[x];
          index[x] = better ? int32_t(k) : index[x];
        }
      }
      const float* center_y = center.y + y * width;
      const float* center_x = center.x + y * width;
      for (int64_t x = 0; x < width; ++x) {
        const int64_t row = index[x] / side, column = index[x] % side;
        const float* cost = costs + index[x] * width + x;
        float part_y = 0.0f, part_x = 0.0f;
        if (row > 0 && row < side - 1) part_y = vertex(cost[-side * width], *cost, cost[side * width]);
        if (column > 0 && column < side - 1) part_x = vertex(cost[-width], *cost, cost[width]);
        found.y[y * width + x] = center_y[x] + (float(row - reach) + part_y);
        found.x[y * width + x] = center_x[x] + (float(column - reach) + part_x);
      }
    }
  });
}

}  // namespace
}  // namespace ls3d
