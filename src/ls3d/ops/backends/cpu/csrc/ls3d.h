// The C interface of the CPU kernel: one description of the work, two functions.
//
// Features are channels-last: pixel (n, t, y, x) of the input starts at
//   n * input_sample + t * input_frame + (y * width + x) * input_pixel        (in elements)
// Every other tensor comes with five strides, in elements, in the order of its shape.
#pragma once

#include <cstdint>

namespace ls3d {

constexpr int kAbi = 1;  // raised whenever Problem changes; Python refuses another number

enum Status : int32_t { kDone = 0, kNoMemory = 1 };

struct Array {
  void* data;  // null where the tensor is absent
  int64_t stride[5];
};

struct Problem {
  int64_t batch, channels, out_channels;
  int64_t in_size[3], out_size[3];  // frames, height, width
  int64_t kernel[3], stride[3], padding[3], dilation[3];
  int64_t groups, offset_groups;
  int64_t frame_origin;  // input frame of temporal tap 0 at output frame 0
  int64_t threads;
  int64_t input_sample, input_frame, input_pixel;  // strides; a row is width * input_pixel
  int64_t grad_input_sample, grad_input_frame, grad_input_pixel;
  const void* input;
  Array offset, mask, weight;
  const void* bias;
  Array output;       // forward: written; backward: the gradient that arrives
  void* grad_input;   // added to
  Array grad_offset, grad_mask, grad_weight;  // added to
};

}  // namespace ls3d
