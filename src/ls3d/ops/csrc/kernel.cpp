// The CPU kernel, compiled once per instruction set (LS3D_ISA).
//
// Forward: a thread takes a tile of output positions, samples a few taps at a time into a small matrix of columns
// (the second cache level holds it) and multiplies it at once with the packed weights; the full column matrix never
// exists.
//
// Backward: twice over the positions. Once for the gradients of input, offsets and masks, where a thread owns an input
// frame (or some of its channels); once for the weight's, where a thread owns some rows. So every sum has one owner
// and one order: no atomics, and equal bits on every run with the same number of threads.
#include <cstring>
#include <vector>

#include "gemm.h"
#include "plan.h"
#include "sample.h"

#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_thread_num() { return 0; }
#endif

namespace ls3d {
namespace {

constexpr int64_t kPad = 16;             // elements; keeps rows of a matrix out of the same cache sets
constexpr int64_t kDepth = 256;          // most columns that exist at a time, and the depth of a product
constexpr int64_t kRow = kDepth + kPad;  // row stride of columns and of packed output gradients

int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }

// Sizes of one channel group of the convolution, and of the tiles.
struct Layout {
  int64_t taps, spatial;        // taps in all, taps in a frame
  int64_t in_group, out_group;  // channels of a group
  int64_t out_padded;           // out_group up to whole vectors
  int64_t depth;                // taps * in_group
  int64_t tiles, tile_size;     // of an output frame

  template <class T>
  static Layout of(const Problem& p, T) {
    Layout l;
    l.spatial = p.kernel[1] * p.kernel[2];
    l.taps = p.kernel[0] * l.spatial;
    l.in_group = p.channels / p.groups;
    l.out_group = p.out_channels / p.groups;
    l.out_padded = round_up(l.out_group, lanes<T>());
    l.depth = l.taps * l.in_group;
    const int64_t positions = p.out_size[1] * p.out_size[2], frames = p.batch * p.out_size[0];
    l.tiles = (positions + kTile - 1) / kTile;
    while (l.tiles * frames < 4 * p.threads && positions / l.tiles > 4 * kRows) ++l.tiles;
    l.tile_size = round_up((positions + l.tiles - 1) / l.tiles, kRows);
    if (l.tile_size > kTile) l.tile_size = kTile;
    l.tiles = (positions + l.tile_size - 1) / l.tile_size;
    return l;
  }

  Tile tile(const Problem& p, int64_t sample, int64_t frame, int64_t number) const {
    const int64_t begin = number * tile_size;
    return {sample, frame, begin, minimum(begin + tile_size, p.out_size[1] * p.out_size[2])};
  }
};

// The input frame that temporal tap `a` reads for an output frame; may lie outside the clip.
int64_t frame_of(const Problem& p, int64_t out_frame, int64_t a) {
  return out_frame * p.stride[0] + a * p.dilation[0] + p.frame_origin;
}

bool in_clip(const Problem& p, int64_t out_frame, int64_t a) {
  const int64_t frame = frame_of(p, out_frame, a);
  return frame >= 0 && frame < p.in_size[0];
}

template <class T>
const T* frame_data(const Problem& p, const Tile& tile, int64_t a) {
  return static_cast<const T*>(p.input) + tile.sample * p.input_sample + frame_of(p, tile.frame, a) * p.input_frame;
}

template <class T>
inline T* weight_at(const Array& weight, const Problem& p, int64_t o, int64_t c, int64_t tap) {
  const int64_t j = tap % p.kernel[2], i = tap / p.kernel[2] % p.kernel[1], a = tap / (p.kernel[1] * p.kernel[2]);
  return static_cast<T*>(weight.data) + o * weight.stride[0] + c * weight.stride[1] + a * weight.stride[2] +
         i * weight.stride[3] + j * weight.stride[4];
}

// ---------------------------------------------------------------- forward

// Weights as panels [group][panel][tap][channel][lane], zero beyond the last output channel.
template <class T>
void pack_forward(const Problem& p, const Layout& l, T* packed) {
  constexpr int W = panel_width<T>();
  constexpr int64_t kChunk = 16;  // channels: what is written meanwhile stays in the cache
  const int64_t panels = round_up(l.out_group, W) / W, chunks = (l.in_group + kChunk - 1) / kChunk;
#pragma omp for schedule(static)
  for (int64_t item = 0; item < p.groups * panels * chunks; ++item) {
    const int64_t first = item % chunks * kChunk, panel = item / chunks % panels, group = item / chunks / panels;
    const int64_t last = minimum(first + kChunk, l.in_group);
    T* to = packed + (group * panels + panel) * l.depth * W;
    for (int64_t lane = 0; lane < W; ++lane) {
      const int64_t o = panel * W + lane;
      for (int64_t c = first; c < last; ++c)
        for (int64_t tap = 0; tap < l.taps; ++tap)
          to[(tap * l.in_group + c) * W + lane] =
              o < l.out_group ? *weight_at<T>(p.weight, p, group * l.out_group + o, c, tap) : T(0);
    }
  }
}

template <class T>
struct ForwardScratch {
  Plan<T> plan;
  alignas(64) T columns[kTile * kRow];
};

// Samples the taps of one group and adds their products to `sums`, kDepth columns at a time.
template <class T>
void forward_group(const Problem& p, const Layout& l, const T* packed, const Tile& tile, int64_t group,
                   ForwardScratch<T>& scratch, T* sums, int64_t sums_row) {
  const int64_t first = group * l.in_group, last = first + l.in_group, share = p.channels / p.offset_groups;
  int64_t filled = 0, start = 0;
  auto multiply = [&] {
    if (filled)
      gemm<T, true, kRow, 1>(scratch.columns, packed + start * panel_width<T>(), l.depth * panel_width<T>(),
                       panel_width<T>(), sums, sums_row, tile.size(), l.out_group, filled);
    filled = 0;
  };
  for (int64_t tap = 0; tap < l.taps; ++tap) {
    const int64_t a = tap / l.spatial;
    if (!in_clip(p, tile.frame, a)) continue;
    const T* frame = frame_data<T>(p, tile, a);
    for (int64_t c = first; c < last;) {
      const int64_t run = minimum(last, (c / share + 1) * share);
      make_plan(p, tile, tap, c / share, scratch.plan);
      while (c < run) {
        const int64_t count = minimum(run - c, kDepth - filled);
        if (!filled) start = tap * l.in_group + c - first;
        sample(scratch.plan, tile.size(), frame + c, p.input_pixel, count, scratch.columns + filled, kRow);
        c += count;
        filled += count;
        if (filled == kDepth) multiply();
      }
    }
  }
  multiply();
}

// Writes the sums, rows of positions, wherever the output's strides say.
template <class T>
void write_output(const Problem& p, const Layout& l, const Tile& tile, const T* sums, int64_t sums_row) {
  for_rows(p, tile, [&](int64_t at, int64_t count, int64_t y, int64_t x) {
    for (int64_t group = 0; group < p.groups; ++group) {
      const T* from = sums + at * sums_row + group * l.out_padded;
      T* to = element<T>(p.output, tile.sample, group * l.out_group, tile.frame, y, x);
      const int64_t so = p.output.stride[1], sx = p.output.stride[4];
      if (so == 1) {
        for (int64_t k = 0; k < count; ++k)
          std::memcpy(to + k * sx, from + k * sums_row, l.out_group * sizeof(T));
      } else {
        for (int64_t o = 0; o < l.out_group; ++o)
          for (int64_t k = 0; k < count; ++k) to[o * so + k * sx] = from[k * sums_row + o];
      }
    }
  });
}

template <class T>
void forward_tile(const Problem& p, const Layout& l, const T* packed, const Tile& tile, ForwardScratch<T>& scratch,
                  T* sums) {
  const int64_t sums_row = p.groups * l.out_padded + kPad;
  const T* bias = static_cast<const T*>(p.bias);
  std::memset(sums, 0, tile.size() * sums_row * sizeof(T));
  if (bias)
    for (int64_t k = 0; k < tile.size(); ++k)
      for (int64_t o = 0; o < p.out_channels; ++o)
        sums[k * sums_row + o / l.out_group * l.out_padded + o % l.out_group] = bias[o];
  const int64_t packed_group = round_up(l.out_group, panel_width<T>()) * l.depth;
  for (int64_t group = 0; group < p.groups; ++group)
    forward_group(p, l, packed + group * packed_group, tile, group, scratch, sums + group * l.out_padded, sums_row);
  write_output(p, l, tile, sums, sums_row);
}

template <class T>
int32_t forward(const Problem& p) {
  const Layout l = Layout::of(p, T());
  const int64_t sums_size = kTile * (p.groups * l.out_padded + kPad);
  auto packed = allocate<T>(p.groups * round_up(l.out_group, panel_width<T>()) * l.depth);
  auto scratch = allocate<ForwardScratch<T>>(p.threads);
  auto sums = allocate<T>(p.threads * sums_size);
  if (!packed || !scratch || !sums) return kNoMemory;
  const int64_t work = p.batch * p.out_size[0] * l.tiles;
#pragma omp parallel num_threads(p.threads)
  {
    const int64_t me = omp_get_thread_num();
    pack_forward(p, l, packed.get());
#pragma omp for schedule(dynamic)
    for (int64_t item = 0; item < work; ++item) {
      const int64_t frame = item / l.tiles;
      const Tile tile = l.tile(p, frame / p.out_size[0], frame % p.out_size[0], item % l.tiles);
      forward_tile(p, l, packed.get(), tile, scratch[me], &sums[me * sums_size]);
    }
  }
  return kDone;
}

// ---------------------------------------------------------------- backward

// Some channels of one tap: columns of a block.
struct Piece {
  int64_t tap, offset_group, channel, count;
  int64_t column;  // in the block
};

// Columns of one group and temporal tap that are computed together.
struct Block {
  int64_t group, a;
  int64_t columns;
  int64_t packed;  // where its packed weights start
  std::vector<Piece> pieces;
};

// Cuts the columns of channels [first, last) of a group, at one temporal tap, into blocks.
void cut(const Problem& p, const Layout& l, int64_t group, int64_t a, int64_t first, int64_t last, int64_t most,
         std::vector<Block>& blocks) {
  const int64_t share = p.channels / p.offset_groups;
  blocks.push_back({group, a, 0, 0, {}});
  for (int64_t tap = a * l.spatial; tap < (a + 1) * l.spatial; ++tap)
    for (int64_t c = first; c < last;) {
      if (blocks.back().columns == most) blocks.push_back({group, a, 0, 0, {}});
      Block& block = blocks.back();
      const int64_t count = minimum(minimum(last, (c / share + 1) * share) - c, most - block.columns);
      block.pieces.push_back({tap, c / share, c, count, block.columns});
      block.columns += count;
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

template <class T>
struct BackwardScratch {
  Plan<T> plan;
  alignas(64) T agreement[kTile * 4];
  alignas(64) T columns[kTile * kRow];  // samples, or the gradient of samples
};

// Scratch of each thread: the fixed part and the packed output gradients, whose size depends on the channels.
template <class T>
struct Scratch {
  Buffer<BackwardScratch<T>> fixed;
  Buffer<T> outputs;
  int64_t outputs_size;

  Scratch(const Problem& p, const Layout& l)
      : fixed(allocate<BackwardScratch<T>>(p.threads)),
        outputs_size((l.out_group + kDepth - 1) / kDepth * kTile * kRow) {
    outputs = allocate<T>(p.threads * outputs_size);
  }
  bool complete() const { return fixed && outputs; }
  BackwardScratch<T>& of(int64_t thread) { return fixed[thread]; }
  T* outputs_of(int64_t thread) { return &outputs[thread * outputs_size]; }
};

// ---- gradients of input, offsets and masks: a thread owns an input frame, or some channels of it

// The weights of a block as panels [panel][o][lane]: the gradient of the columns is the output's times these.
template <class T>
void pack_transposed(const Problem& p, const Layout& l, const Block& block, T* packed) {
  constexpr int W = panel_width<T>();
  std::memset(packed, 0, round_up(block.columns, W) * l.out_group * sizeof(T));
  for (const Piece& piece : block.pieces)
    for (int64_t o = 0; o < l.out_group; ++o) {
      const T* from = weight_at<T>(p.weight, p, block.group * l.out_group + o,
                                   piece.channel - block.group * l.in_group, piece.tap);
      for (int64_t k = 0; k < piece.count; ++k) {
        const int64_t column = piece.column + k;
        packed[(column / W * l.out_group + o) * W + column % W] = from[k * p.weight.stride[1]];
      }
    }
}

// The gradient of a block's columns for one tile: from the packed output gradients.
template <class T>
void columns_gradient(const Layout& l, const Block& block, const Tile& tile, const T* packed, const T* outputs,
                      T* columns) {
  constexpr int W = panel_width<T>();
  const int64_t panel = l.out_group * W;
  gemm<T, false, kRow, 1>(outputs, packed, panel, W, columns, kRow, tile.size(), block.columns,
                          minimum(kDepth, l.out_group));
  for (int64_t first = kDepth; first < l.out_group; first += kDepth) {
    outputs += kTile * kRow;
    gemm<T, true, kRow, 1>(outputs, packed + first * W, panel, W, columns, kRow, tile.size(), block.columns,
                           minimum(kDepth, l.out_group - first));
  }
}

// One block of one tile: its columns' gradient flows to offsets, masks and the input.
template <class T>
void flow_back(const Problem& p, const Layout& l, const Block& block, const Tile& tile, const T* packed,
               BackwardScratch<T>& scratch, T* outputs) {
  pack_outputs(p, l, tile, block.group, outputs);
  columns_gradient(l, block, tile, packed + block.packed, outputs, scratch.columns);
  const T* frame = frame_data<T>(p, tile, block.a);
  T* grad_frame = static_cast<T*>(p.grad_input) + tile.sample * p.grad_input_sample +
                  frame_of(p, tile.frame, block.a) * p.grad_input_frame;
  for (const Piece& piece : block.pieces) {
    make_plan(p, tile, piece.tap, piece.offset_group, scratch.plan);
    const T* gradient = scratch.columns + piece.column;
    if (p.grad_offset.data || p.grad_mask.data) {
      agree(scratch.plan, tile.size(), frame + piece.channel, p.input_pixel, piece.count, gradient, kRow,
            scratch.agreement);
      slopes(p, tile, piece.offset_group * l.taps + piece.tap, scratch.plan, scratch.agreement);
    }
    if (p.grad_input)
      scatter(scratch.plan, tile.size(), gradient, kRow, piece.count, grad_frame + piece.channel, p.grad_input_pixel);
  }
}

// How the work is shared. A frame of the input's gradient has one owner; where there are fewer frames than threads
// can use, it has one owner for each slice of channels, and as many rounds: in round r, the owner of slice s works on
// part (s + r) of the positions, so that no two write to the same offset either.
struct Sharing {
  int64_t parts;   // of the positions
  int64_t slices;  // of the channels of a group
  int64_t width;   // channels in a slice

  static Sharing of(const Problem& p, const Layout& l, int64_t lanes) {
    const int64_t frames = maximum(1, p.batch * p.in_size[0]), wanted = (4 * p.threads + frames - 1) / frames;
    Sharing s{minimum(wanted, l.tiles), 1, l.in_group};
    if (p.grad_input) {
      s.parts = minimum(s.parts, maximum(1, l.in_group / (2 * lanes)));
      s.width = round_up((l.in_group + s.parts - 1) / s.parts, lanes);
      s.slices = s.parts = (l.in_group + s.width - 1) / s.width;
    }
    return s;
  }
};

// All that one owner does in one round.
template <class T>
void flow_back_to_frame(const Problem& p, const Layout& l, int64_t sample, int64_t frame, int64_t part, int64_t parts,
                        const std::vector<Block>& blocks, const T* packed, BackwardScratch<T>& scratch, T* outputs) {
  const int64_t first = l.tiles * part / parts, last = l.tiles * (part + 1) / parts;
  for (const Block& block : blocks) {
    const int64_t ahead = frame - p.frame_origin - block.a * p.dilation[0], out = ahead / p.stride[0];
    if (ahead < 0 || ahead % p.stride[0] != 0 || out >= p.out_size[0]) continue;
    for (int64_t number = first; number < last; ++number)
      flow_back(p, l, block, l.tile(p, sample, out, number), packed, scratch, outputs);
  }
}

template <class T>
int32_t backward_sampling(const Problem& p, const Layout& l, Scratch<T>& scratch) {
  const Sharing sharing = Sharing::of(p, l, lanes<T>());
  std::vector<std::vector<Block>> blocks(sharing.slices);
  std::vector<const Block*> all;
  int64_t size = 0;
  for (int64_t slice = 0; slice < sharing.slices; ++slice) {
    for (int64_t group = 0; group < p.groups; ++group)
      for (int64_t a = 0; a < p.kernel[0]; ++a) {
        const int64_t start = group * l.in_group, end = start + l.in_group, first = start + slice * sharing.width;
        cut(p, l, group, a, first, minimum(first + sharing.width, end), kDepth, blocks[slice]);
      }
    for (Block& block : blocks[slice]) {
      block.packed = size;
      size += round_up(block.columns, panel_width<T>()) * l.out_group;
      all.push_back(&block);
    }
  }
  auto packed = allocate<T>(size);
  if (!packed) return kNoMemory;
  const int64_t work = p.batch * p.in_size[0] * sharing.parts;
#pragma omp parallel num_threads(p.threads)
  {
    const int64_t me = omp_get_thread_num();
#pragma omp for schedule(dynamic)
    for (int64_t k = 0; k < int64_t(all.size()); ++k) pack_transposed(p, l, *all[k], &packed[all[k]->packed]);
    for (int64_t round = 0; round < sharing.slices; ++round) {
#pragma omp for schedule(dynamic)
      for (int64_t item = 0; item < work; ++item) {
        const int64_t mine = item % sharing.parts, frame = item / sharing.parts;
        const int64_t slice = mine % sharing.slices, part = (mine + round) % sharing.parts;
        flow_back_to_frame(p, l, frame / p.in_size[0], frame % p.in_size[0], part, sharing.parts, blocks[slice],
                           packed.get(), scratch.of(me), scratch.outputs_of(me));
      }
    }
  }
  return kDone;
}

// ---- gradient of the weight: a thread owns the rows of a block

// Sums over all positions: columns, sampled again, times the gradient of the output; then adds them to the weight's.
template <class T>
void weight_block(const Problem& p, const Layout& l, const Block& block, BackwardScratch<T>& scratch, T* outputs,
                  T* sums) {
  std::memset(sums, 0, block.columns * l.out_padded * sizeof(T));
  for (int64_t item = 0; item < p.batch * p.out_size[0] * l.tiles; ++item) {
    const int64_t frame = item / l.tiles;
    const Tile tile = l.tile(p, frame / p.out_size[0], frame % p.out_size[0], item % l.tiles);
    if (!in_clip(p, tile.frame, block.a)) continue;
    const T* features = frame_data<T>(p, tile, block.a);
    pack_outputs(p, l, tile, block.group, outputs);
    for (const Piece& piece : block.pieces) {
      make_plan(p, tile, piece.tap, piece.offset_group, scratch.plan);
      sample(scratch.plan, tile.size(), features + piece.channel, p.input_pixel, piece.count,
             scratch.columns + piece.column, kRow);
    }
    for (int64_t first = 0; first < l.out_group; first += kDepth)
      gemm<T, true, 1, kRow>(scratch.columns, outputs + first / kDepth * kTile * kRow, panel_width<T>(), kRow,
                             sums + first, l.out_padded, block.columns, minimum(kDepth, l.out_group - first),
                             tile.size());
  }
  for (const Piece& piece : block.pieces)
    for (int64_t o = 0; o < l.out_group; ++o) {
      T* to = weight_at<T>(p.grad_weight, p, block.group * l.out_group + o, piece.channel - block.group * l.in_group,
                           piece.tap);
      for (int64_t k = 0; k < piece.count; ++k)
        to[k * p.grad_weight.stride[1]] += sums[(piece.column + k) * l.out_padded + o];
    }
}

template <class T>
int32_t backward_weight(const Problem& p, const Layout& l, Scratch<T>& scratch) {
  const int64_t unit = 4 * kRows, rows = p.groups * l.depth / (4 * p.threads);
  const int64_t most = minimum(kDepth / unit * unit, maximum(unit, rows / unit * unit));
  std::vector<Block> blocks;
  for (int64_t group = 0; group < p.groups; ++group)
    for (int64_t a = 0; a < p.kernel[0]; ++a)
      cut(p, l, group, a, group * l.in_group, (group + 1) * l.in_group, most, blocks);
  const int64_t size = most * l.out_padded + kPad;
  auto sums = allocate<T>(p.threads * size);
  if (!sums) return kNoMemory;
#pragma omp parallel for num_threads(p.threads) schedule(dynamic)
  for (int64_t k = 0; k < int64_t(blocks.size()); ++k) {
    const int64_t me = omp_get_thread_num();
    weight_block(p, l, blocks[k], scratch.of(me), scratch.outputs_of(me), &sums[me * size]);
  }
  return kDone;
}

template <class T>
int32_t backward(const Problem& p) {
  const Layout l = Layout::of(p, T());
  Scratch<T> scratch(p, l);
  if (!scratch.complete()) return kNoMemory;
  int32_t status = kDone;
  if (p.grad_input || p.grad_offset.data || p.grad_mask.data) status = backward_sampling(p, l, scratch);
  if (status == kDone && p.grad_weight.data) status = backward_weight(p, l, scratch);
  return status;
}

}  // namespace

// The two entries of this instruction set; `wide` means double.
#define LS3D_JOIN(a, b) a##b
#define LS3D_NAME(a, b) LS3D_JOIN(a, b)
int32_t LS3D_NAME(forward_, LS3D_ISA)(const Problem& p, bool wide) { return wide ? forward<double>(p) : forward<float>(p); }
int32_t LS3D_NAME(backward_, LS3D_ISA)(const Problem& p, bool wide) { return wide ? backward<double>(p) : backward<float>(p); }

}  // namespace ls3d
