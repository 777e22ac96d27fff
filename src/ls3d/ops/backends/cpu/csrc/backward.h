// The backward pass: one pass over the positions for all gradients. For each tile:
//   (1) a GEMM of the output's gradient and the weights gives the gradient of the columns;
//   (2) it is passed on to offsets, masks and the input;
//   (3) the loads of (2) also give the samples, which a second GEMM adds to the owner's sum for the weight's gradient.
// If the weight is too large for a sum for each owner (kMaxWeightSumBytes), (3) becomes a second pass, in which each
// thread computes some rows of the weight's gradient.
//
// schedule.h fixes the order of every sum, so there are no atomics, and the result has the same bits on every run with
// the same number of threads.
#pragma once

#include "depthwise.h"
#include "pack.h"
#include "sample.h"
#include "schedule.h"
#include "small_groups.h"

namespace ls3d {
namespace {

// Most bytes of all owners' sums for the weight's gradient. Bounds the workspace; not tuned for speed.
constexpr int64_t kMaxWeightSumBytes = 32 << 20;

// Columns of a block that belong to one tap: some channels of one offset group, perhaps of several groups.
struct TapColumns {
  int64_t tap, offset_group, channel, count;
  int64_t column;  // the first one's number in the block
};

// Columns of a block that belong to one group, in a bundle also to one tap, and to consecutive rows of the weight's
// gradient, (groups * depth, out_group).
struct WeightRows {
  int64_t group, first, column, count;
};

// Columns of one group, or of several, and one temporal tap that are computed together.
struct Block {
  int64_t first_group, groups, a;
  int64_t start;    // number of the first column, counted over all blocks of the slice, groups and temporal tap
  int64_t columns;  // number of columns
  std::vector<TapColumns> taps;
  std::vector<WeightRows> rows;

  // Of its groups.
  int64_t channels(const Sizes& sizes) const { return groups * sizes.in_group; }

  void add(const Sizes& sizes, TapColumns added) {
    added.column = columns;
    taps.push_back(added);
    for (int64_t c = added.channel, end = c + added.count; c < end;) {
      const int64_t group = c / sizes.in_group, count = minimum(end, (group + 1) * sizes.in_group) - c;
      const int64_t row = group * sizes.depth + added.tap * sizes.in_group + c - group * sizes.in_group;
      const bool new_tap = sizes.bundle > 1 && c % sizes.in_group == 0;
      if (rows.empty() || new_tap || rows.back().group != group || rows.back().first + rows.back().count != row)
        rows.push_back({group, row, columns, 0});
      rows.back().count += count;
      columns += count;
      c += count;
    }
  }
};

// Appends blocks of at most `most` columns for one slice, temporal tap and `groups` groups from group `first_group` on.
void append_blocks(const KernelCall& call, const Sizes& sizes, int64_t first_group, int64_t groups, int64_t a,
                   const Slice& slice, int64_t most, std::vector<Block>& blocks) {
  const int64_t offset_channels = call.channels / call.offset_groups;
  const int64_t first = first_group * sizes.in_group + slice.first;
  const int64_t last = (first_group + groups - 1) * sizes.in_group + slice.last;
  blocks.push_back({first_group, groups, a, 0, 0, {}, {}});
  for (int64_t tap = a * sizes.spatial_taps; tap < (a + 1) * sizes.spatial_taps; ++tap)
    for (int64_t c = first; c < last;) {
      if (blocks.back().columns == most)
        blocks.push_back({first_group, groups, a, blocks.back().start + most, 0, {}, {}});
      Block& block = blocks.back();
      const int64_t run_end = minimum(last, (c / offset_channels + 1) * offset_channels);
      const int64_t count = minimum(run_end - c, most - block.columns);
      block.add(sizes, {tap, c / offset_channels, c, count, 0});
      c += count;
    }
}

// Calls visit(tap, number of its first column) for the taps of a bundle's block, which has all columns of each.
template <class F>
inline void for_each_tap(const Sizes& sizes, const Block& block, F visit) {
  for (int64_t column = 0; column < block.columns; column += block.channels(sizes))
    visit(block.a * sizes.spatial_taps + (block.start + column) / block.channels(sizes), column);
}

// Copies the output's gradient for one tile and some channels to packed, (ceil(channels / kDepth), kTile, kRow).
template <class T>
void pack_outputs(const KernelCall& call, const Tile& tile, int64_t channel, int64_t channels, T* packed) {
  for (int64_t first_o = 0; first_o < channels; first_o += kDepth, packed += kTile * kRow) {
    const int64_t count = minimum(kDepth, channels - first_o), padded = round_up(count, lanes<T>());
    for_each_row(call, tile, [&](int64_t first, int64_t positions, int64_t y, int64_t x) {
      const T* from = element<T>(call.output, tile.sample, channel + first_o, tile.frame, y, x);
      for (int64_t k = 0; k < positions; ++k) {
        T* row = packed + (first + k) * kRow;
        const T* pixel = from + k * call.output.stride[4];
        if (call.output.stride[1] == 1)
          std::memcpy(row, pixel, count * sizeof(T));
        else
          for (int64_t o = 0; o < count; ++o) row[o] = pixel[o * call.output.stride[1]];
        std::memset(row + count, 0, (padded - count) * sizeof(T));
      }
    });
  }
}

// The gradient of the columns of a bundle's block for one tile, (positions, kRow), from the packed output gradients and
// the packed weights of all groups: (groups, kT, transposed_size), or those of pack_small_groups.
template <class T>
void bundle_gradient(const KernelCall& call, const Sizes& sizes, const Slice& slice, const Block& block,
                     int64_t positions, const T* packed, const T* outputs, T* columns) {
  constexpr int W = panel_width<T>();
  if (has_small_groups<T>(call, sizes)) {
    for_each_tap(sizes, block, [&](int64_t tap, int64_t column) {
      multiply_small_groups<T>(call, sizes, outputs, 1, block.channels(sizes),
                               packed + tap * sizes.in_group * call.channels + block.first_group * sizes.in_group,
                               Sums<T>{columns + column, kRow}, positions);
    });
    return;
  }
  // In this order: each product writes whole vectors, and the next one overwrites what is too much.
  for (const WeightRows& rows : block.rows) {
    const int64_t tap = (rows.first - rows.group * sizes.depth) / sizes.in_group % sizes.spatial_taps;
    const T* weights = packed + (rows.group * call.kernel[0] + block.a) * transposed_size<T>(sizes, slice) +
                       tap * tap_width<T>(sizes, slice) * sizes.out_group;
    gemm<T, kRow, 1>(outputs + (rows.group - block.first_group) * sizes.out_group, weights, sizes.out_group * W, W,
                     Sums<T>{columns + rows.column, kRow}, positions, rows.count, sizes.out_group);
  }
}

// The gradient of a block's `width` columns for one tile, (positions, kRow), from the packed output gradients and the
// block's packed weights.
template <class T>
void columns_gradient(const Sizes& sizes, int64_t width, int64_t positions, const T* packed, const T* outputs,
                      T* columns) {
  constexpr int W = panel_width<T>();
  const int64_t panel = sizes.out_group * W;
  const Sums<T> sums = {columns, kRow};
  gemm<T, kRow, 1>(outputs, packed, panel, W, sums, positions, width, minimum(kDepth, sizes.out_group));
  for (int64_t first = kDepth; first < sizes.out_group; first += kDepth) {
    outputs += kTile * kRow;
    gemm<T, kRow, 1>(outputs, packed + first * W, panel, W, sums.started(), positions, width,
                     minimum(kDepth, sizes.out_group - first));
  }
}

template <template <class> class Plan, class T>
struct BackwardScratch {
  Grid<T> grid;  // of the tile
  Plan<T> plan;
  alignas(64) T dots[kTile * 4];        // see dot_products
  alignas(64) T columns[kTile * kRow];  // samples, or their gradient
};

// Workspace: scratch and packed output gradients for each thread, and sums for the weight's gradient for each owner.
template <template <class> class Plan, class T>
struct Workspace {
  Buffer<BackwardScratch<Plan, T>> scratch;
  Buffer<T> outputs, sums;
  int64_t outputs_size, sums_row, sums_size;

  Workspace(const KernelCall& call, const Sizes& sizes, bool depthwise)
      : scratch(allocate<BackwardScratch<Plan, T>>(call.threads)),
        outputs_size(divide_up(sizes.out_group, kDepth) * kTile * kRow),  // those of a bundle are at most kDepth
        sums_row(depthwise                          ? 1
                 : has_small_groups<T>(call, sizes) ? sizes.out_group
                                                    : sizes.out_padded + kPad),
        sums_size(call.groups * sizes.depth * sums_row) {
    outputs = allocate<T>(call.threads * outputs_size);
  }
  T* outputs_of(int64_t thread) { return &outputs[thread * outputs_size]; }
};

// Adds the products of a block's columns, transposed, and the output's gradient to rows of the sums; for small groups,
// see add_small_group_products.
template <class T>
void add_weight_products(const KernelCall& call, const Sizes& sizes, const Block& block, int64_t positions,
                         const T* columns, const T* outputs, T* sums, int64_t sums_row) {
  if (has_small_groups<T>(call, sizes)) {
    with_group_size<T>(sizes.in_group, [&](auto size) {
      for_each_tap(sizes, block, [&](int64_t tap, int64_t column) {
        add_small_group_products<T, size.value>(
            block.channels(sizes), positions, columns + column, outputs,
            sums + tap * size.value * call.channels + block.first_group * size.value, call.channels,
            std::make_integer_sequence<int, size.value>());
      });
    });
    return;
  }
  for (const WeightRows& rows : block.rows) {
    const T* from = outputs + (rows.group - block.first_group) * sizes.out_group;
    for (int64_t first = 0; first < sizes.out_group; first += kDepth)
      gemm<T, 1, kRow>(columns + rows.column, from + first / kDepth * kTile * kRow, panel_width<T>(), kRow,
                       Sums<T>{sums + rows.first * sums_row + first, sums_row}.started(), rows.count,
                       minimum(kDepth, sizes.out_group - first), positions);
  }
}

// ---- All gradients, or all but the weight's.

template <template <class> class Plan, class T>
struct BackwardPass {
  const KernelCall& call;
  const Sizes& sizes;
  const Schedule& schedule;
  Workspace<Plan, T>& space;
  bool depthwise;     // given as one group
  bool need_weight;   // the weight's gradient
  bool need_columns;  // the gradient of the columns, for the input, offsets or masks
  std::vector<Slice> slices;
  std::vector<std::vector<Block>> blocks;  // for each slice and temporal tap
  Buffer<T> packed;

  BackwardPass(const KernelCall& call, const Sizes& sizes, const Schedule& schedule, Workspace<Plan, T>& space,
               bool depthwise, bool need_weight)
      : call(call), sizes(sizes), schedule(schedule), space(space), depthwise(depthwise), need_weight(need_weight) {
    need_columns = call.grad_input || call.grad_offset.data || call.grad_mask.data;
    const int64_t width = round_up(divide_up(sizes.in_group, schedule.slices), lanes<T>());
    int64_t size = 0;
    for (int64_t k = 0; k < schedule.slices; ++k) {
      slices.push_back({minimum(k * width, sizes.in_group), minimum((k + 1) * width, sizes.in_group), size});
      size += call.groups * call.kernel[0] * transposed_size<T>(sizes, slices.back());
      for (int64_t a = 0; a < call.kernel[0]; ++a) {
        blocks.emplace_back();
        for (int64_t group = 0; group < call.groups; group += sizes.bundle) {
          const int64_t groups = minimum(sizes.bundle, call.groups - group), channels = groups * sizes.in_group;
          // A block of a bundle ends where a tap ends.
          const int64_t most = sizes.bundle > 1 ? kDepth / channels * channels : kDepth;
          append_blocks(call, sizes, group, groups, a, slices.back(), most, blocks.back());
        }
      }
    }
    if (depthwise) size = sizes.taps * depthwise_row<T>(call);
    if (has_small_groups<T>(call, sizes)) size = small_groups_size(call, sizes);
    packed = allocate<T>(need_columns ? size : 0);
  }

  T* sums_of(int64_t owner) { return need_weight ? &space.sums[owner * space.sums_size] : nullptr; }

  // One tile of an output frame, with the input frame that temporal tap `a` reads.
  void run_tile(const Task& task, int64_t a, const Tile& tile, int64_t thread) {
    BackwardScratch<Plan, T>& scratch = space.scratch[thread];
    T* outputs = space.outputs_of(thread);
    scratch.grid.set(call, tile);
    int64_t group = -1;
    for (const Block& block : blocks[task.slice * call.kernel[0] + a]) {
      if (block.first_group != group) {
        group = block.first_group;
        pack_outputs(call, tile, group * sizes.out_group, block.groups * sizes.out_group, outputs);
      }
      if (depthwise && need_columns) {
        for (const TapColumns& tap : block.taps)
          depthwise_columns_gradient(&packed[tap.tap * depthwise_row<T>(call) + tap.channel], tap.channel, tap.count,
                                     tile.size(), outputs, scratch.columns + tap.column);
      } else if (need_columns && sizes.bundle > 1) {
        bundle_gradient(call, sizes, slices[task.slice], block, tile.size(), packed.get(), outputs, scratch.columns);
      } else if (need_columns) {
        const Slice& slice = slices[task.slice];
        const int64_t matrix = (group * call.kernel[0] + a) * transposed_size<T>(sizes, slice);
        columns_gradient(sizes, block.columns, tile.size(),
                         &packed[slice.packed + matrix + block.start * sizes.out_group], outputs, scratch.columns);
      }
      for (const TapColumns& tap : block.taps) backpropagate(block, tap, tile, scratch);
      if (!need_weight) continue;
      if (depthwise)
        for (const TapColumns& tap : block.taps)
          add_depthwise_products(tap.channel, tap.count, tile.size(), scratch.columns + tap.column, outputs,
                                 sums_of(task.owner) + tap.tap * call.channels + tap.channel);
      else
        add_weight_products(call, sizes, block, tile.size(), scratch.columns, outputs, sums_of(task.owner),
                            space.sums_row);
    }
  }

  // Passes the gradient of one tap's columns on, and replaces it by the samples if the weight's gradient needs them.
  void backpropagate(const Block& block, const TapColumns& tap, const Tile& tile, BackwardScratch<Plan, T>& scratch) {
    make_sampling_plan<true>(call, tile, scratch.grid, tap.tap, tap.offset_group, scratch.plan);
    const bool need_dots = call.grad_offset.data || call.grad_mask.data;
    const int64_t frame =
        tile.sample * call.grad_input_sample + frame_read_by(call, tile.frame, block.a) * call.grad_input_frame;
    TapGradient<T> gradient{frame_data<T>(call, tile, block.a) + tap.channel,
                            call.input_pixel,
                            nullptr,
                            call.grad_input_pixel,
                            need_dots ? scratch.dots : nullptr,
                            need_weight};
    if (call.grad_input) gradient.grad_frame = static_cast<T*>(call.grad_input) + frame + tap.channel;
    backpropagate_tap(scratch.plan, tile.size(), gradient, tap.count, scratch.columns + tap.column, kRow);
    if (need_dots)
      add_offset_and_mask_gradients(call, tile, tap.offset_group * sizes.taps + tap.tap, scratch.plan, scratch.dots);
  }

  // Every output frame and temporal tap that reads the task's input frame.
  void run_task(const Task& task, int64_t thread) {
    const int64_t sample = task.frame / call.in_size[0], frame = task.frame % call.in_size[0];
    for (int64_t a = 0; a < call.kernel[0]; ++a) {
      const int64_t distance = frame - call.frame_origin - a * call.dilation[0], out = distance / call.stride[0];
      if (distance < 0 || distance % call.stride[0] != 0 || out >= call.out_size[0]) continue;
      for (int64_t number = task.first; number < task.last; ++number)
        run_tile(task, a, sizes.tile(sample, out, number), thread);
    }
  }

  void run() {
    const std::vector<int64_t> distances = tap_distances(call.weight, call);
    // OpenMP orders tasks by the addresses that they depend on; what is stored there doesn't matter.
    std::vector<char> addresses(schedule.locks + schedule.owners);
    char *lock = addresses.data(), *owner = addresses.data() + schedule.locks;
    if (need_weight) std::memset(space.sums.get(), 0, schedule.owners * space.sums_size * sizeof(T));
#pragma omp parallel num_threads(call.threads)
    {
      if (need_columns && depthwise)
        pack_depthwise<T>(call, distances, packed.get());
      else if (need_columns && has_small_groups<T>(call, sizes))
        pack_small_groups<true, T>(call, sizes, distances, packed.get());
      else if (need_columns)
        pack_transposed(call, sizes, distances, slices, packed.get());
#pragma omp single
      for (const Task& task : schedule.tasks) {
        const Task* mine = &task;
        // clang-format off
#pragma omp task firstprivate(mine) depend(inout : lock[mine->lock], owner[mine->owner])
        // clang-format on
        run_task(*mine, omp_get_thread_num());
      }
      if (need_weight && depthwise)
        add_depthwise_sums(call, tap_distances(call.grad_weight, call), space.sums.get(), schedule.owners);
      else if (need_weight && has_small_groups<T>(call, sizes))
        add_small_group_sums(call, sizes, tap_distances(call.grad_weight, call), space.sums.get(), schedule.owners);
      else if (need_weight)
        add_weight_sums(call, sizes, tap_distances(call.grad_weight, call), space.sums.get(), schedule.owners,
                        space.sums_row);
    }
    (void)lock, (void)owner;  // unused without OpenMP
  }
};

// ---- The weight's gradient alone: each thread computes the rows of a block.

// Adds, over all positions, the products of the block's columns, sampled again, and the output's gradient.
template <template <class> class Plan, class T>
void run_weight_block(const KernelCall& call, const Sizes& sizes, const Block& block, Workspace<Plan, T>& space,
                      int64_t thread) {
  BackwardScratch<Plan, T>& scratch = space.scratch[thread];
  T* outputs = space.outputs_of(thread);
  for (int64_t item = 0; item < call.batch * call.out_size[0] * sizes.tiles; ++item) {
    const int64_t frame = item / sizes.tiles;
    const Tile tile = sizes.tile(frame / call.out_size[0], frame % call.out_size[0], item % sizes.tiles);
    if (!reads_clip(call, tile.frame, block.a)) continue;
    const T* features = frame_data<T>(call, tile, block.a);
    scratch.grid.set(call, tile);
    pack_outputs(call, tile, block.first_group * sizes.out_group, sizes.out_group, outputs);
    for (const TapColumns& tap : block.taps) {
      make_sampling_plan<true>(call, tile, scratch.grid, tap.tap, tap.offset_group, scratch.plan);
      sample(scratch.plan, tile.size(), features + tap.channel, input_end<T>(call), call.input_pixel, tap.count,
             scratch.columns + tap.column, kRow);
    }
    add_weight_products(call, sizes, block, tile.size(), scratch.columns, outputs, space.sums.get(), space.sums_row);
  }
}

template <template <class> class Plan, class T>
void backward_weight(const KernelCall& call, Sizes sizes, Workspace<Plan, T>& space) {
  // About four blocks for each thread balance the load, each of whole register tiles of the product.
  const int64_t unit = 4 * kRows, rows = call.groups * sizes.depth / (4 * call.threads);
  const int64_t most = minimum(kDepth / unit * unit, maximum(unit, rows / unit * unit));
  sizes.set_tiles(divide_up(sizes.positions, kTile), kRows);
  std::vector<Block> blocks;
  for (int64_t group = 0; group < call.groups; ++group)
    for (int64_t a = 0; a < call.kernel[0]; ++a)
      append_blocks(call, sizes, group, 1, a, {0, sizes.in_group, 0}, most, blocks);
#pragma omp parallel num_threads(call.threads)
  {
#pragma omp for schedule(dynamic)
    for (int64_t k = 0; k < int64_t(blocks.size()); ++k) {
      for (const WeightRows& rows : blocks[k].rows)
        std::memset(&space.sums[rows.first * space.sums_row], 0, rows.count * space.sums_row * sizeof(T));
      run_weight_block(call, sizes, blocks[k], space, omp_get_thread_num());
    }
    add_weight_sums(call, sizes, tap_distances(call.grad_weight, call), space.sums.get(), 1, space.sums_row);
  }
}

template <template <class> class Plan, class T>
int32_t backward(const KernelCall& given) {
  if (given.batch * given.in_size[0] == 0) return kDone;
  const bool depthwise = is_depthwise(given);
  const KernelCall call = depthwise ? as_one_group(given) : given;
  Sizes sizes = Sizes::of(call, T());
  const Schedule schedule = make_schedule(call, sizes, lanes<T>());
  Workspace<Plan, T> space(call, sizes, depthwise);
  if (!space.scratch || !space.outputs) return kNoMemory;
  const bool need_columns = call.grad_input || call.grad_offset.data || call.grad_mask.data;
  const bool need_weight = call.grad_weight.data;
  const bool small = schedule.owners * space.sums_size * int64_t(sizeof(T)) <= kMaxWeightSumBytes;
  // The weights of depthwise convolutions and of small groups are small.
  const bool one_pass = need_weight && (small || depthwise || has_small_groups<T>(call, sizes));
  if (need_columns || one_pass) {
    if (one_pass) space.sums = allocate<T>(schedule.owners * space.sums_size);
    BackwardPass<Plan, T> pass(call, sizes, schedule, space, depthwise, one_pass);
    if (!pass.packed || (one_pass && !space.sums)) return kNoMemory;
    pass.run();
  }
  if (need_weight && !one_pass) {
    space.sums = allocate<T>(space.sums_size);  // after the packed weights have been freed
    if (!space.sums) return kNoMemory;
    backward_weight(call, sizes, space);
  }
  return kDone;
}

}  // namespace
}  // namespace ls3d
