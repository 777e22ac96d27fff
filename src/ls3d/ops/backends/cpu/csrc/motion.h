// The C interface of bilateral_motion: one struct that describes a call. All lengths are in pixels of a level.
#pragma once

#include <cstdint>

namespace ls3d {

constexpr int kMotionAbi = 2;  // must be raised whenever MotionCall changes; Python refuses any other number

struct MotionCall {
  int64_t batch, height, width;  // N, H, W of the frames
  int64_t levels, times, threads;
  const float* frame[2];       // (N, 3, H, W), first and second
  int64_t frame_stride[2][4];  // in elements
  const double* time;          // (times)
  const int64_t* radius;       // (levels), of the grid search, the coarsest first
  const int64_t* rest_radius;  // (levels), of the grid search around no motion; 0 where there is none
  int64_t window_radius;       // of the window over which differences are averaged
  int64_t neighbor;            // distance of the four neighbors whose motion is tried
  int64_t mean_radius;         // of the window whose mean is removed from the colors
  double penalty;              // of a pixel of motion
  double share, tolerance;     // a smaller motion is taken below this share of the other's cost, and the tolerance
  float* motion;               // (N, times, 2, ceil(H / 2), ceil(W / 2)), contiguous; written
};

}  // namespace ls3d
