// The C interface of bilateral_motion: one struct that describes a call, and the function that takes it.
#pragma once

#include <cstdint>

namespace ls3d {

constexpr int kMotionAbi = 1;  // must be raised whenever one of these structs changes; Python refuses any other number

// How one level of the pyramid is searched; lengths in pixels of the level.
struct MotionLevel {
  int64_t radius;    // steps of the grid search to each side of its center
  int64_t box;       // radius of the window over which differences are averaged
  int64_t neighbor;  // distance of the four neighbors whose motion is tried
  double step;       // of the grid search
};

struct MotionCall {
  int64_t batch, height, width;  // N, H, W of the frames
  int64_t levels, times, threads;
  const float* frame[2];         // (N, 3, H, W), first and second
  int64_t frame_stride[2][4];    // in elements
  const double* time;            // (times)
  const MotionLevel* level;      // (levels), the coarsest first
  int64_t mean_radius;           // of the window whose mean is removed from the colors
  double color_weight, penalty;  // of the colors without local mean removed; of a pixel of motion
  float* motion;                 // (N, times, 2, ceil(H / 2), ceil(W / 2)), contiguous; written
};

}  // namespace ls3d
