// Backward: one pass over the positions for all gradients, shared out by share.h. Each tile's columns get their
// gradient from a product, pass it on to offsets, masks and the input, and are sampled again by the same loads for the
// product that the weight's gradient needs, which every owner sums on its own. Where the weights are too many for
// that, their gradient has a pass of its own, in which a thread owns some rows. So every sum has one order: no atomics,
// and equal bits on every run with the same number of threads.
#pragma once

#include "pack.h"
#include "sample.h"
#include "share.h"

namespace ls3d {
namespace {

constexpr int64_t kSums = 32 << 20;  // most bytes of the owners' sums for the weight's gradient

// Some channels of one tap: columns of a block.
struct EncodedSegment {
  int64_t tap, offset_group, channel, count;
  int64_t column;  // in the block
};

// Columns of a block that are rows of the weight's gradient, one after another.
struct Rows {
  int64_t first, column, count;
};

// Columns of one group and temporal tap that are computed together.
struct Block {
  int64_t group, a;
  int64_t start, columns;  // of the slice's
  std::vector<EncodedSegment> pieces;
  std::vector<Rows> rows;

  void add(const Layout& l, EncodedSegment piece) {
    const int64_t row = group * l.depth + piece.tap * l.in_group + piece.channel - group * l.in_group;
    if (rows.empty() || rows.back().first + rows.back().count != row) rows.push_back({row, columns, 0});
    rows.back().count += piece.count;
    piece.column = columns;
    pieces.push_back(piece);
    columns += piece.count;
  }
};

// Cuts the columns of a slice of a group, at one temporal tap, into blocks.
void cut(const Problem& p, const Layout& l, int64_t group, int64_t a, const Slice& slice, int64_t most,
         std::vector<Block>& blocks) {
  const int64_t share = p.channels / p.offset_groups;
  const int64_t first = group * l.in_group + slice.first, last = group * l.in_group + slice.last;
  blocks.push_back({group, a, 0, 0, {}, {}});
  for (int64_t tap = a * l.spatial; tap < (a + 1) * l.spatial; ++tap)
    for (int64_t c = first; c < last;) {
      if (blocks.back().columns == most) blocks.push_back({group, a, blocks.back().start + most, 0, {}, {}});
      Block& block = blocks.back();
      const int64_t count = minimum(minimum(last, (c / share + 1) * share) - c, most - block.columns);
      block.add(l, {tap, c / share, c, count, 0});
      c += count;
    }
}

// Output gradients of a tile and group, rows of positions in depth blocks [block][position][kRow].
template <class T>
void pack_outputs(const Problem& p, const Layout& l, const Tile& tile, int64_t group, T* packed) {
  for (int64_t first = 0; first < l.out_group; first += kDepth, packed += kTile * kRow) {
    const int64_t count = minimum(kDepth, l.out_group - first), padded = round_up(count, lanes<T>());
    for_rows(p, tile, [&](int64_t at, int64_t positions, int64_t y, int64_t x) {
      const T* from = element<T>(p.output, tile.sample, group * l.out_group + first, tile.frame, y, x);
      for (int64_t k = 0; k < positions; ++k) {
        T* row = packed + (at + k) * kRow;
        const T* pixel = from + k * p.output.stride[4];
        if (p.output.stride[1] == 1)
          std::memcpy(row, pixel, count * sizeof(T));
        else
          for (int64_t o = 0; o < count; ++o) row[o] = pixel[o * p.output.stride[1]];
        std::memset(row + count, 0, (padded - count) * sizeof(T));
      }
    });
  }
}

// The gradient of a block's columns for one tile: from the packed output gradients and the block's packed weights.
template <class T>
void columns_gradient(const Layout& l, int64_t width, int64_t positions, const T* packed, const T* outputs,
                      T* columns) {
  constexpr int W = panel_width<T>();
  const int64_t panel = l.out_group * W;
  gemm<T, false, kRow, 1>(outputs, packed, panel, W, columns, kRow, positions, width, minimum(kDepth, l.out_group));
  for (int64_t first = kDepth; first < l.out_group; first += kDepth) {
    outputs += kTile * kRow;
    gemm<T, true, kRow, 1>(outputs, packed + first * W, panel, W, columns, kRow, positions, width,
                           minimum(kDepth, l.out_group - first));
  }
}

template <class T>
struct BackwardScratch {
  Plan<T> plan;
  alignas(64) T agreement[kTile * 4];
  alignas(64) T columns[kTile * kRow];  // samples, or the gradient of samples
};

// Workspace: for each thread a fixed part and packed output gradients, for each owner sums for the weight's gradient.
template <class T>
struct Workspace {
  Buffer<BackwardScratch<T>> fixed;
  Buffer<T> outputs, sums;
  int64_t outputs_size, sums_row, sums_size;

  Workspace(const Problem& p, const Layout& l)
      : fixed(allocate<BackwardScratch<T>>(p.threads)),
        outputs_size(parts_of(l.out_group, kDepth) * kTile * kRow),
        sums_row(l.out_padded + kPad),
        sums_size(p.groups * l.depth * sums_row) {
    outputs = allocate<T>(p.threads * outputs_size);
  }
  T* outputs_of(int64_t thread) { return &outputs[thread * outputs_size]; }
};

// Adds the products of a block's columns with the output's gradients to rows of the sums.
template <class T>
void add_products(const Layout& l, const Block& block, int64_t positions, const T* columns, const T* outputs, T* sums,
                  int64_t sums_row) {
  for (const Rows& rows : block.rows)
    for (int64_t first = 0; first < l.out_group; first += kDepth)
      gemm<T, true, 1, kRow>(columns + rows.column, outputs + first / kDepth * kTile * kRow, panel_width<T>(), kRow,
                             sums + rows.first * sums_row + first, sums_row, rows.count,
                             minimum(kDepth, l.out_group - first), positions);
}

// ---- all gradients, or all but the weight's

template <class T>
struct Pass {
  const Problem& p;
  const Layout& l;
  const Sharing& sharing;
  Workspace<T>& space;
  bool fused;  // with the weight's gradient
  bool flows;  // with another gradient
  std::vector<Slice> slices;
  std::vector<std::vector<Block>> blocks;  // of a slice and a temporal tap
  Buffer<T> packed;

  Pass(const Problem& p, const Layout& l, const Sharing& sharing, Workspace<T>& space, bool fused)
      : p(p), l(l), sharing(sharing), space(space), fused(fused) {
    flows = p.grad_input || p.grad_offset.data || p.grad_mask.data;
    const int64_t width = round_up(parts_of(l.in_group, sharing.slices), lanes<T>());
    int64_t size = 0;
    for (int64_t k = 0; k < sharing.slices; ++k) {
      slices.push_back({minimum(k * width, l.in_group), minimum((k + 1) * width, l.in_group), size});
      size += p.groups * p.kernel[0] * transposed_size<T>(l, slices.back());
      for (int64_t a = 0; a < p.kernel[0]; ++a) {
        blocks.emplace_back();
        for (int64_t group = 0; group < p.groups; ++group) cut(p, l, group, a, slices.back(), kDepth, blocks.back());
      }
    }
    packed = allocate<T>(flows ? size : 0);
  }

  T* sums_of(int64_t owner) { return fused ? &space.sums[owner * space.sums_size] : nullptr; }

  // One tile of an output frame, with the input frame that temporal tap `a` reads.
  void tile(const Task& task, int64_t a, const Tile& tile, int64_t thread) {
    BackwardScratch<T>& scratch = space.fixed[thread];
    T* outputs = space.outputs_of(thread);
    int64_t group = -1;
    for (const Block& block : blocks[task.slice * p.kernel[0] + a]) {
      if (block.group != group) pack_outputs(p, l, tile, group = block.group, outputs);
      if (flows) {
        const Slice& slice = slices[task.slice];
        const int64_t matrix = (group * p.kernel[0] + a) * transposed_size<T>(l, slice);
        columns_gradient(l, block.columns, tile.size(), &packed[slice.packed + matrix + block.start * l.out_group],
                         outputs, scratch.columns);
      }
      for (const EncodedSegment& piece : block.pieces) flow(block, piece, tile, scratch);
      if (fused) add_products(l, block, tile.size(), scratch.columns, outputs, sums_of(task.owner), space.sums_row);
    }
  }

  // The gradient of some columns goes to offsets, masks and the input; their samples take its place.
  void flow(const Block& block, const EncodedSegment& piece, const Tile& tile, BackwardScratch<T>& scratch) {
    make_plan(p, tile, piece.tap, piece.offset_group, scratch.plan);
    const bool slopes_wanted = p.grad_offset.data || p.grad_mask.data;
    const int64_t frame = tile.sample * p.grad_input_sample + frame_of(p, tile.frame, block.a) * p.grad_input_frame;
    WayBack<T> way{frame_data<T>(p, tile, block.a) + piece.channel, p.input_pixel, nullptr, p.grad_input_pixel,
                   slopes_wanted ? scratch.agreement : nullptr, fused};
    if (p.grad_input) way.grad_frame = static_cast<T*>(p.grad_input) + frame + piece.channel;
    flow_back(scratch.plan, tile.size(), way, piece.count, scratch.columns + piece.column, kRow);
    if (slopes_wanted) slopes(p, tile, piece.offset_group * l.taps + piece.tap, scratch.plan, scratch.agreement);
  }

  void perform(const Task& task, int64_t thread) {
    const int64_t sample = task.frame / p.in_size[0], frame = task.frame % p.in_size[0];
    for (int64_t a = 0; a < p.kernel[0]; ++a) {
      const int64_t ahead = frame - p.frame_origin - a * p.dilation[0], out = ahead / p.stride[0];
      if (ahead < 0 || ahead % p.stride[0] != 0 || out >= p.out_size[0]) continue;
      for (int64_t number = task.first; number < task.last; ++number)
        tile(task, a, l.tile(sample, out, number), thread);
    }
  }

  void run() {
    const std::vector<int64_t> starts = tap_starts(p.weight, p);
    std::vector<char> held(sharing.locks + sharing.owners);  // only the addresses matter
    char *lock = held.data(), *owner = held.data() + sharing.locks;
    if (fused) std::memset(space.sums.get(), 0, sharing.owners * space.sums_size * sizeof(T));
#pragma omp parallel num_threads(p.threads)
    {
      if (flows) pack_transposed(p, l, starts, slices, packed.get());
#pragma omp single
      for (const Task& task : sharing.tasks) {
        const Task* mine = &task;
#pragma omp task firstprivate(mine) depend(inout : lock[mine->lock], owner[mine->owner])
        perform(*mine, omp_get_thread_num());
      }
      if (fused) add_sums(p, l, tap_starts(p.grad_weight, p), space.sums.get(), sharing.owners, space.sums_row);
    }
    (void)lock, (void)owner;  // unused without OpenMP
  }
};

// ---- the weight's gradient alone: a thread owns the rows of a block

// Sums over all positions: columns, sampled again, times the gradient of the output.
template <class T>
void weight_block(const Problem& p, const Layout& l, const Block& block, Workspace<T>& space, int64_t thread) {
  BackwardScratch<T>& scratch = space.fixed[thread];
  T* outputs = space.outputs_of(thread);
  for (int64_t item = 0; item < p.batch * p.out_size[0] * l.tiles; ++item) {
    const int64_t frame = item / l.tiles;
    const Tile tile = l.tile(frame / p.out_size[0], frame % p.out_size[0], item % l.tiles);
    if (!in_clip(p, tile.frame, block.a)) continue;
    const T* features = frame_data<T>(p, tile, block.a);
    pack_outputs(p, l, tile, block.group, outputs);
    for (const EncodedSegment& piece : block.pieces) {
      make_plan(p, tile, piece.tap, piece.offset_group, scratch.plan);
      sample(scratch.plan, tile.size(), features + piece.channel, p.input_pixel, piece.count,
             scratch.columns + piece.column, kRow);
    }
    add_products(l, block, tile.size(), scratch.columns, outputs, space.sums.get(), space.sums_row);
  }
}

template <class T>
void backward_weight(const Problem& p, Layout l, Workspace<T>& space) {
  const int64_t unit = 4 * kRows, rows = p.groups * l.depth / (4 * p.threads);
  const int64_t most = minimum(kDepth / unit * unit, maximum(unit, rows / unit * unit));
  l.cut(parts_of(l.positions, kTile), kRows);
  std::vector<Block> blocks;
  for (int64_t group = 0; group < p.groups; ++group)
    for (int64_t a = 0; a < p.kernel[0]; ++a) cut(p, l, group, a, {0, l.in_group, 0}, most, blocks);
#pragma omp parallel num_threads(p.threads)
  {
#pragma omp for schedule(dynamic)
    for (int64_t k = 0; k < int64_t(blocks.size()); ++k) {
      for (const Rows& rows : blocks[k].rows)
        std::memset(&space.sums[rows.first * space.sums_row], 0, rows.count * space.sums_row * sizeof(T));
      weight_block(p, l, blocks[k], space, omp_get_thread_num());
    }
    add_sums(p, l, tap_starts(p.grad_weight, p), space.sums.get(), 1, space.sums_row);
  }
}

template <class T>
int32_t backward(const Problem& p) {
  if (p.batch * p.in_size[0] == 0) return kDone;
  Layout l = Layout::of(p, T());
  const Sharing sharing = share_out(p, l, lanes<T>());
  Workspace<T> space(p, l);
  if (!space.fixed || !space.outputs) return kNoMemory;
  const bool flows = p.grad_input || p.grad_offset.data || p.grad_mask.data;
  const bool fused = p.grad_weight.data && sharing.owners * space.sums_size * int64_t(sizeof(T)) <= kSums;
  if (flows || fused) {
    if (fused) space.sums = allocate<T>(sharing.owners * space.sums_size);
    Pass<T> pass(p, l, sharing, space, fused);
    if (!pass.packed || (fused && !space.sums)) return kNoMemory;
    pass.run();
  }
  if (p.grad_weight.data && !fused) {
    space.sums = allocate<T>(space.sums_size);  // now that the packed weights are gone
    if (!space.sums) return kNoMemory;
    backward_weight(p, l, space);
  }
  return kDone;
}

}  // namespace
}  // namespace ls3d
