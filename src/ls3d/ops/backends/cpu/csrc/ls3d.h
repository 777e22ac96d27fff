// The C interface of the CPU kernel: one struct that describes a call, two functions that take it, and another struct
// and function for changes of the layout.
//
// Element (n, c, t, y, x) of the input is number
//   n * input_sample + t * input_frame + (y * width + x) * input_pixel + c * input_channel
// Unless few_channels, it is channels-last: input_channel is 1.
// Every other tensor has five strides, in elements, in the order of its shape.
#pragma once

#include <cstdint>

#if defined(__clang__) || __GNUC__ >= 11
#define LS3D_COMPILES_BFLOAT16  // where the processor has AVX512-BF16
#endif

namespace ls3d {

constexpr int kAbi = 4;  // must be raised whenever a struct changes; Python refuses any other number

enum Status : int32_t { kDone = 0, kNoMemory = 1 };

enum Interpolation : int64_t { kBilinear = 0, kBicubic = 1 };

struct Array {
  void* data;  // null if the tensor is absent
  int64_t stride[5];
};

// The element type T of all tensors is float or double. N, C, T, H, W are the input's sizes, G is offset_groups.
struct KernelCall {
  int64_t batch, channels, out_channels;  // N, C, O
  int64_t in_size[3], out_size[3];        // frames, height, width
  int64_t kernel[3], stride[3], padding[3], dilation[3];
  int64_t groups, offset_groups;
  int64_t frame_origin;  // the input frame that temporal tap 0 reads at output frame 0
  int64_t threads;
  int64_t interpolation;
  // Whether the forward pass copies the input, see few_channels.h: bilinear samples of one group of at most
  // kMostFewChannels channels.
  int64_t few_channels;
  // Of the forward pass with T = float: whether these tensors are bfloat16 instead of T, and whether samples may be
  // rounded to it, which implies that the weights are.
  int64_t bfloat16_offset, bfloat16_mask, bfloat16_weight, bfloat16_output, bfloat16_products;
  int64_t input_sample, input_frame, input_pixel, input_channel;  // strides of input
  int64_t grad_input_sample, grad_input_frame, grad_input_pixel;  // strides of grad_input
  const void* input;                                              // (N, T, H, W, C)
  Array offset;       // (N, 2 * G * taps, T_out, H_out, W_out) in pixels, (dy, dx) for each tap
  Array mask;         // (N, G * taps, T_out, H_out, W_out), or null for ones
  Array weight;       // (O, C / groups, kT, kH, kW)
  const void* bias;   // (O), contiguous, or null
  Array output;       // (N, O, T_out, H_out, W_out). Forward: written. Backward: its gradient, read.
  void* grad_input;   // (N, T, H, W, C), or null. The four gradients are added to.
  Array grad_offset;  // shape of offset, or null
  Array grad_mask;    // shape of mask, or null
  Array grad_weight;  // shape of weight, or null
};

// to[n, t, column, row] = from[n, t, row, column]. The strides of the last dimensions are 1.
struct Transposition {
  int64_t batch, frames, rows, columns;
  int64_t from_sample, from_frame, from_row;
  int64_t to_sample, to_frame, to_row;
  int64_t threads;
  const void* from;
  void* to;
};

}  // namespace ls3d
