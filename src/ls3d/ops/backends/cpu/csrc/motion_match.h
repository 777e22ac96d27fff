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

  Field row(int64_t number, int64_t width) const { return {y + number * width, x + number * width}; }
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
  double share;      // of a larger motion's cost, below which a smaller motion is taken
  double tolerance;  // in addition
  int64_t threads;

  float scale() const {
    const double side = double(2 * window + 1);
    return float(1.0 / (double(kFeatures) * side * side));
  }
};

// ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)) of the lanes of each of four vectors.
inline Four<float> sum_lanes(const Eight v[4]) {
  Four<float> half[4];
  for (int k = 0; k < 4; ++k) half[k] = LS3D_SHUFFLE(v[k], v[k], 0, 1, 2, 3) + LS3D_SHUFFLE(v[k], v[k], 4, 5, 6, 7);
  const Four<float> even = LS3D_SHUFFLE(half[0], half[1], 0, 4, 1, 5) + LS3D_SHUFFLE(half[0], half[1], 2, 6, 3, 7);
  const Four<float> odd = LS3D_SHUFFLE(half[2], half[3], 0, 4, 1, 5) + LS3D_SHUFFLE(half[2], half[3], 2, 6, 3, 7);
  return LS3D_SHUFFLE(even, odd, 0, 1, 4, 5) + LS3D_SHUFFLE(even, odd, 2, 3, 6, 7);
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
  return LS3D_SHUFFLE(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
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

// A part of the workspace.
struct Workspace {
  float* next;
  float* take(int64_t floats) {
    float* part = next;
    next += floats;
    return part;
  }
};

// Takes a row of another candidate where it costs less than the best so far.
inline void keep_better(MotionRow own, MotionRow other, const float* cost, float penalty, int64_t width, float* best,
                        Field chosen) {
  for (int64_t x = 0; x < width; ++x) {
    const float apart = std::fabs(other.y[x] - own.y[x]) + std::fabs(other.x[x] - own.x[x]);
    const float total = cost[x] + apart * penalty;
    const bool better = total < best[x];
    best[x] = better ? total : best[x];
    chosen.y[x] = better ? other.y[x] : chosen.y[x];
    chosen.x[x] = better ? other.x[x] : chosen.x[x];
  }
}

// For every pixel the candidate of `motion` with the least cost, in rows `first` to `last`.
inline void select_rows(const Match& m, Field motion, Field chosen, Workspace space, int64_t first, int64_t last) {
  const int64_t width = m.size.width, radius = m.window;
  float* padded = space.take(width + 2 * radius);
  float* best = space.take(width);
  float* cost = space.take(width);
  const Candidates candidates(m, motion, space.take(Candidates::floats(width)));
  BoxFilter filters[kCandidates];
  for (BoxFilter& filter : filters) filter = BoxFilter(space.take(BoxFilter::floats(radius, width)), radius, m.size);
  Feed feed(first, radius);
  for (int64_t y = first; y < last; ++y) {
    feed.until(y, radius, m.size.height, [&](int64_t row) {
      for (int64_t k = 0; k < kCandidates; ++k) {
        difference_row(m, row, candidates.row(k, row), 0.0f, 0.0f, padded + radius);
        filters[k].push(row, padded);
      }
    });
    const MotionRow own = candidates.row(0, y);
    const Field out = chosen.row(y, width);
    std::copy(own.y, own.y + width, out.y);
    std::copy(own.x, own.x + width, out.x);
    filters[0].sum(y, m.scale(), best);
    for (int64_t k = 1; k < kCandidates; ++k) {
      filters[k].sum(y, m.scale(), cost);
      keep_better(own, candidates.row(k, y), cost, float(m.penalty), width, best, out);
    }
  }
}

// Where the parabola through three costs has its minimum, from -1/2 to 1/2; 0 where there is none.
inline float vertex(float before, float best, float after) {
  const float curvature = (before - best) + (after - best);
  const float found = ((before - after) * 0.5f) / (curvature > 0.0f ? curvature : 1.0f);
  return curvature > 0.0f && std::fabs(found) <= 0.5f ? found : 0.0f;
}

// The grid of motions around a center, row by row: costs of a row of pixels, and the position of the least.
class Grid {
 public:
  static int64_t floats(int64_t radius, int64_t window, int64_t width) {
    const int64_t side = 2 * radius + 1;
    return side * side * (width + BoxFilter::floats(window, width)) + 2 * width;
  }

  Grid(const Match& m, Workspace& space) : m_(m), side_(2 * m.radius + 1), width_(m.size.width) {
    costs_ = space.take(side_ * side_ * width_);
    rings_ = space.take(side_ * side_ * BoxFilter::floats(m.window, width_));
    best_ = space.take(width_);
    index_ = reinterpret_cast<int32_t*>(space.take(width_));
  }

  // Differences of a row of pixels.
  void push(int64_t y, MotionRow center, float* padded) {
    for (int64_t k = 0; k < side_ * side_; ++k) {
      difference_row(m_, y, center, shift(k / side_), shift(k % side_), padded + m_.window);
      filter(k).push(y, padded);
    }
  }

  // The least cost of each pixel of a row.
  void minimize(int64_t y) {
    for (int64_t k = 0; k < side_ * side_; ++k) {
      float* cost = costs_ + k * width_;
      const double steps = std::fabs(shift(k / side_)) + std::fabs(shift(k % side_));
      const float away = float(m_.penalty * steps);
      filter(k).sum(y, m_.scale(), cost);
      for (int64_t x = 0; x < width_; ++x) {
        cost[x] += away;
        const bool better = k == 0 || cost[x] < best_[x];
        best_[x] = better ? cost[x] : best_[x];
        index_[x] = better ? int32_t(k) : index_[x];
      }
    }
  }

  // The motion of the least cost, with its sub-pixel part.
  void refine(MotionRow center, Field found) const {
    for (int64_t x = 0; x < width_; ++x) {
      const int64_t row = index_[x] / side_, column = index_[x] % side_;
      const float* cost = costs_ + index_[x] * width_ + x;
      float part_y = 0.0f, part_x = 0.0f;
      if (row > 0 && row < side_ - 1) part_y = vertex(cost[-side_ * width_], *cost, cost[side_ * width_]);
      if (column > 0 && column < side_ - 1) part_x = vertex(cost[-width_], *cost, cost[width_]);
      found.y[x] = center.y[x] + (shift(row) + part_y);
      found.x[x] = center.x[x] + (shift(column) + part_x);
    }
  }

 private:
  float shift(int64_t k) const { return float(k - m_.radius); }

  BoxFilter filter(int64_t k) const {
    return BoxFilter(rings_ + k * BoxFilter::floats(m_.window, width_), m_.window, m_.size);
  }

  const Match& m_;
  int64_t side_, width_;
  float *costs_, *rings_, *best_;
  int32_t* index_;
};

// Around every pixel's `center`, the motion of the grid with the least cost, in rows `first` to `last`.
inline void search_rows(const Match& m, Field center, Field found, Workspace space, int64_t first, int64_t last) {
  const int64_t width = m.size.width;
  float* padded = space.take(width + 2 * m.window);
  Grid grid(m, space);
  Feed feed(first, m.window);
  const auto row_of = [&](int64_t y) { return MotionRow{center.y + y * width, center.x + y * width}; };
  for (int64_t y = first; y < last; ++y) {
    feed.until(y, m.window, m.size.height, [&](int64_t row) { grid.push(row, row_of(row), padded); });
    grid.minimize(y);
    grid.refine(row_of(y), found.row(y, width));
  }
}

// In place of `large`, the smaller motion `small` where it fits as well, in rows `first` to `last` of `chosen`.
inline void prefer_small_rows(const Match& m, Field large, Field small, Field chosen, Workspace space, int64_t first,
                              int64_t last) {
  const int64_t width = m.size.width;
  float* padded = space.take(width + 2 * m.window);
  const Field tried[2] = {large, small};
  float* cost[2];
  BoxFilter filters[2];
  for (int k = 0; k < 2; ++k) {
    cost[k] = space.take(width);
    filters[k] = BoxFilter(space.take(BoxFilter::floats(m.window, width)), m.window, m.size);
  }
  Feed feed(first, m.window);
  for (int64_t y = first; y < last; ++y) {
    feed.until(y, m.window, m.size.height, [&](int64_t number) {
      for (int k = 0; k < 2; ++k) {
        const Field row = tried[k].row(number, width);
        difference_row(m, number, {row.y, row.x}, 0.0f, 0.0f, padded + m.window);
        filters[k].push(number, padded);
      }
    });
    for (int k = 0; k < 2; ++k) filters[k].sum(y, m.scale(), cost[k]);
    const Field from = large.row(y, width), other = small.row(y, width), to = chosen.row(y, width);
    for (int64_t x = 0; x < width; ++x) {
      const float length = std::fabs(other.y[x]) + std::fabs(other.x[x]);
      const bool smaller = length < std::fabs(from.y[x]) + std::fabs(from.x[x]);
      const bool fits = smaller && cost[1][x] < cost[0][x] * float(m.share) + float(m.tolerance);
      to.y[x] = fits ? other.y[x] : from.y[x];
      to.x[x] = fits ? other.x[x] : from.x[x];
    }
  }
}

// Floats that a band of any pass works in.
inline int64_t match_workspace(int64_t radius, int64_t window, Size size) {
  const int64_t filters = kCandidates * BoxFilter::floats(window, size.width);
  const int64_t select = 2 * size.width + Candidates::floats(size.width) + filters;
  return size.width + 2 * window + std::max(select, Grid::floats(radius, window, size.width));
}

// Calls pass(workspace, first, last) for bands of all rows.
template <typename Pass>
void run_pass(const Match& m, float* workspace, Pass pass) {
  const int64_t share = match_workspace(m.radius, m.window, m.size);
  for_bands(m.size.height, m.threads,
            [&](int64_t band, int64_t first, int64_t last) { pass(Workspace{workspace + band * share}, first, last); });
}

inline void select(const Match& m, Field motion, Field chosen, float* workspace) {
  run_pass(m, workspace,
           [&](Workspace space, int64_t first, int64_t last) { select_rows(m, motion, chosen, space, first, last); });
}

inline void search(const Match& m, Field center, Field found, float* workspace) {
  run_pass(m, workspace,
           [&](Workspace space, int64_t first, int64_t last) { search_rows(m, center, found, space, first, last); });
}

inline void prefer_small(const Match& m, Field large, Field small, Field chosen, float* workspace) {
  run_pass(m, workspace, [&](Workspace space, int64_t first, int64_t last) {
    prefer_small_rows(m, large, small, chosen, space, first, last);
  });
}

}  // namespace
}  // namespace ls3d
