// The CPU kernel, compiled once per instruction set (LS3D_ISA).
//
// Forward: a thread takes a tile of output positions, samples a few taps at a time into a small matrix of columns (L1
// and L2 hold it) and multiplies it at once with the packed weights; the full column matrix never exists.
//
// Backward: for every temporal tap, threads first own positions (columns and their gradient, offsets, masks), then,
// after a barrier, channels and rows (the input's gradient) and taps (the weight's). So every sum has one owner and
// one order: no atomics, and equal bits on every run with the same number of threads.
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

constexpr int64_t kPad = 16;                // elements; keeps rows of a matrix out of the same cache sets
constexpr int64_t kDepth = 256;             // columns that the forward samples before it multiplies
constexpr int64_t kRow = kDepth + kPad;     // row stride of the forward's columns and of packed output gradients
constexpr int64_t kBlock = 576;             // columns of a block of the backward
constexpr int64_t kBlockRow = kBlock + kPad;
constexpr int64_t kPlans = 16;              // most plans in a block

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
T weight_at(const Problem& p, int64_t o, int64_t c, int64_t tap) {
  const int64_t* s = p.weight.stride;
  const int64_t j = tap % p.kernel[2], i = tap / p.kernel[2] % p.kernel[1], a = tap / (p.kernel[1] * p.kernel[2]);
  return static_cast<const T*>(p.weight.data)[o * s[0] + c * s[1] + a * s[2] + i * s[3] + j * s[4]];
}

// ---------------------------------------------------------------- forward

// Weights as panels [group][panel][tap][channel][lane], zero beyond the last output channel.
template <class T>
void pack_forward(const Problem& p, const Layout& l, T* packed) {
  constexpr int W = panel_width<T>();
  const int64_t panels = round_up(l.out_group, W) / W;
#pragma omp for schedule(static)
  for (int64_t row = 0; row < p.groups * panels * l.depth; ++row) {
    const int64_t k = row % l.depth, panel = row / l.depth % panels, group = row / l.depth / panels;
    T* to = packed + row * W;
    for (int64_t lane = 0; lane < W; ++lane) {
      const int64_t o = panel * W + lane;
      to[lane] = o < l.out_group ? weight_at<T>(p, group * l.out_group + o, k % l.in_group, k / l.in_group) : T(0);
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
      gemm<T, kRow, 1>(scratch.columns, packed + start * panel_width<T>(), l.depth * panel_width<T>(),
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
  int64_t plan;    // in the block
};

struct Block {
  std::vector<Piece> pieces;
  int64_t columns = 0, plans = 0;
  int64_t first_row = 0;  // of the block's columns in the gradient of the weight, and of the packed weight
};

// Cuts the columns of one group and one temporal tap into blocks.
std::vector<Block> blocks_of(const Problem& p, const Layout& l, int64_t group, int64_t a) {
  std::vector<Block> blocks(1);
  const int64_t first = group * l.in_group, last = first + l.in_group, share = p.channels / p.offset_groups;
  for (int64_t tap = a * l.spatial; tap < (a + 1) * l.spatial; ++tap)
    for (int64_t c = first; c < last;) {
      if (blocks.back().columns == kBlock || blocks.back().plans == kPlans) blocks.emplace_back();
      Block& block = blocks.back();
      const int64_t run = minimum(last, (c / share + 1) * share);
      const int64_t count = minimum(run - c, kBlock - block.columns);
      block.pieces.push_back({tap, c / share, c, count, block.columns, block.plans++});
      block.columns += count;
      c += count;
    }
  return blocks;
}

// What one thread computes for its tile and what all threads read after the barrier.
template <class T>
struct BackwardSlot {
  Tile tile;
  int32_t pixel[kPlans][4][kTile];
  alignas(64) T weight[kPlans][4][kTile];  // of the corners, times the mask
  alignas(64) T agreement[kTile * 4];
  Plan<T> plan;
  alignas(64) T columns[kTile * kBlockRow];
  alignas(64) T gradient[kTile * kBlockRow];  // of the columns
};

// Where everything of a backward call lies.
template <class T>
struct Backward {
  const Problem& p;
  Layout l;
  bool sampling, input, weight;     // which gradients are asked for
  int64_t depth_blocks;             // packed output gradients: [depth block][position][kRow]
  Buffer<BackwardSlot<T>> slots;
  Buffer<T> outputs;                // per slot
  Buffer<T> packed;                 // transposed weight of one block
  Buffer<T> grad_weight;            // [group * depth][out_padded]

  int64_t outputs_size() const { return depth_blocks * kTile * kRow; }
  T* outputs_of(int64_t slot) { return &outputs[slot * outputs_size()]; }
};

// The block's weights as panels [panel][o][lane]: the gradient of the columns is the output's times these.
template <class T>
void pack_backward(Backward<T>& b, int64_t group, const Block& block) {
  constexpr int W = panel_width<T>();
  const Problem& p = b.p;
#pragma omp for schedule(static)
  for (int64_t panel = 0; panel < round_up(block.columns, W) / W; ++panel) {
    T* to = &b.packed[panel * W * b.l.out_group];
    std::memset(to, 0, W * b.l.out_group * sizeof(T));
    for (const Piece& piece : block.pieces)
      for (int64_t k = maximum(piece.column, panel * W); k < minimum(piece.column + piece.count, (panel + 1) * W); ++k)
        for (int64_t o = 0; o < b.l.out_group; ++o)
          to[o * W + k - panel * W] = weight_at<T>(p, group * b.l.out_group + o,
                                                   piece.channel + k - piece.column - group * b.l.in_group, piece.tap);
  }
}

// The gradient of the output for a tile and group, rows of positions in depth blocks.
template <class T>
void pack_outputs(Backward<T>& b, const Tile& tile, int64_t group, T* packed) {
  const Problem& p = b.p;
  const int64_t so = p.output.stride[1], sx = p.output.stride[4];
  for (int64_t block = 0; block < b.depth_blocks; ++block) {
    const int64_t first = block * kDepth, count = minimum(kDepth, b.l.out_group - first);
    const int64_t padded = round_up(count, lanes<T>());
    T* to = packed + block * kTile * kRow;
    for_rows(p, tile, [&](int64_t at, int64_t positions, int64_t y, int64_t x) {
      const T* from = element<T>(p.output, tile.sample, group * b.l.out_group + first, tile.frame, y, x);
      for (int64_t k = 0; k < positions; ++k) {
        T* row = to + (at + k) * kRow;
        for (int64_t o = 0; o < count; ++o) row[o] = from[k * sx + o * so];
        for (int64_t o = count; o < padded; ++o) row[o] = T(0);
      }
    });
  }
}

// First half: a thread's own positions. Columns, their gradient, and the gradients of offsets and masks.
template <class T>
void own_positions(Backward<T>& b, const Block& block, int64_t a, BackwardSlot<T>& slot, const T* outputs) {
  const Problem& p = b.p;
  const Tile& tile = slot.tile;
  constexpr int W = panel_width<T>();
  if (b.sampling || b.input) {
    for (int64_t k = 0; k < tile.size(); ++k)
      std::memset(slot.gradient + k * kBlockRow, 0, round_up(block.columns, lanes<T>()) * sizeof(T));
    for (int64_t d = 0; d < b.depth_blocks; ++d)
      gemm<T, kRow, 1>(outputs + d * kTile * kRow, &b.packed[d * kDepth * W], b.l.out_group * W, W, slot.gradient,
                       kBlockRow, tile.size(), block.columns, minimum(kDepth, b.l.out_group - d * kDepth));
  }
  const T* frame = frame_data<T>(p, tile, a);
  for (const Piece& piece : block.pieces) {
    make_plan(p, tile, piece.tap, piece.offset_group, slot.plan);
    const T* features = frame + piece.channel;
    if (b.weight)
      sample(slot.plan, tile.size(), features, p.input_pixel, piece.count, slot.columns + piece.column, kBlockRow);
    if (b.sampling) {
      std::memset(slot.agreement, 0, tile.size() * 4 * sizeof(T));
      agree(slot.plan, tile.size(), features, p.input_pixel, piece.count, slot.gradient + piece.column, kBlockRow,
            slot.agreement);
      slopes(p, tile, piece.offset_group * b.l.taps + piece.tap, slot.plan, slot.agreement);
    }
    if (b.input) {
      std::memcpy(slot.pixel[piece.plan], slot.plan.pixel, sizeof(slot.plan.pixel));
      for (int64_t k = 0; k < tile.size(); ++k) {
        T weight[4];
        weights_of(slot.plan, k, slot.plan.mask[k], weight);
        for (int c = 0; c < 4; ++c) slot.weight[piece.plan][c][k] = weight[c];
      }
    }
  }
}

// Second half: a thread's own channels and rows of the input's gradient.
template <class T>
void own_input(Backward<T>& b, const Block& block, int64_t a, const BackwardSlot<T>& slot, const Share& share) {
  const Problem& p = b.p;
  const Tile& tile = slot.tile;
  T* frame = static_cast<T*>(p.grad_input) + tile.sample * p.grad_input_sample +
             frame_of(p, tile.frame, a) * p.grad_input_frame;
  for (const Piece& piece : block.pieces) {
    const int64_t first = maximum(piece.channel, share.first_channel);
    const int64_t last = minimum(piece.channel + piece.count, share.last_channel);
    if (first >= last) continue;
    const int32_t* pixels[4];
    const T* weights[4];
    for (int k = 0; k < 4; ++k) {
      pixels[k] = slot.pixel[piece.plan][k];
      weights[k] = slot.weight[piece.plan][k];
    }
    scatter(pixels, weights, tile.size(), slot.gradient + piece.column + first - piece.channel, kBlockRow,
            {first, last, share.first_pixel, share.last_pixel}, frame + first, p.grad_input_pixel);
  }
}

// Second half: a thread's own rows of the weight's gradient.
template <class T>
void own_weight(Backward<T>& b, const Block& block, const BackwardSlot<T>& slot, const T* outputs, int64_t first,
                int64_t last) {
  T* rows = &b.grad_weight[(block.first_row + first) * b.l.out_padded];
  for (int64_t d = 0; d < b.depth_blocks; ++d)
    gemm<T, 1, kBlockRow>(slot.columns + first, outputs + d * kTile * kRow, panel_width<T>(), kRow, rows + d * kDepth,
                          b.l.out_padded, last - first, minimum(kDepth, b.l.out_group - d * kDepth),
                          slot.tile.size());
}

// The channels and rows of the input's gradient that thread `me` owns.
Share share_of(const Problem& p, const Layout& l, int64_t group, int64_t me, int64_t lanes) {
  const int64_t slices = minimum(p.threads, (l.in_group + lanes - 1) / lanes), bands = p.threads / slices;
  const int64_t slice = me % slices, band = me / slices, width = round_up((l.in_group + slices - 1) / slices, lanes);
  if (band >= bands) return {0, 0, 0, 0};
  const int64_t first = group * l.in_group, rows = (p.in_size[1] + bands - 1) / bands * p.in_size[2];
  return {first + minimum(slice * width, l.in_group), first + minimum((slice + 1) * width, l.in_group), band * rows,
          (band + 1) * rows};
}

// One block of columns for all tiles whose frames temporal tap `a` reaches; every thread runs this.
template <class T>
void backward_block(Backward<T>& b, const Block& block, int64_t group, int64_t a, int64_t me) {
  const Problem& p = b.p;
  int64_t first = 0, last = p.out_size[0];
  while (first < last && !in_clip(p, first, a)) ++first;
  while (last > first && !in_clip(p, last - 1, a)) --last;
  const int64_t frames = last - first, work = p.batch * frames * b.l.tiles;
  const Share share = share_of(p, b.l, group, me, lanes<T>());
  const int64_t row = block.columns * me / p.threads, next_row = block.columns * (me + 1) / p.threads;
  pack_backward(b, group, block);
  for (int64_t start = 0; start < work; start += p.threads) {
    const int64_t mine = start + me, active = minimum(p.threads, work - start);
    if (mine < work) {
      BackwardSlot<T>& slot = b.slots[me];
      const int64_t frame = mine / b.l.tiles;
      slot.tile = b.l.tile(p, frame / frames, first + frame % frames, mine % b.l.tiles);
      pack_outputs(b, slot.tile, group, b.outputs_of(me));
      own_positions(b, block, a, slot, b.outputs_of(me));
    }
    if (!b.input && !b.weight) continue;
#pragma omp barrier
    for (int64_t k = 0; k < active; ++k) {
      if (b.input) own_input(b, block, a, b.slots[k], share);
      if (b.weight && row < next_row) own_weight(b, block, b.slots[k], b.outputs_of(k), row, next_row);
    }
#pragma omp barrier
  }
}

// Adds the gradient of the weight, which lies in the order of the blocks, to where it belongs.
template <class T>
void write_grad_weight(Backward<T>& b, const Block& block, int64_t group) {
  const int64_t* s = b.p.grad_weight.stride;
  const Problem& p = b.p;
  for (const Piece& piece : block.pieces) {
    const int64_t j = piece.tap % p.kernel[2], i = piece.tap / p.kernel[2] % p.kernel[1], a = piece.tap / b.l.spatial;
    T* to = static_cast<T*>(p.grad_weight.data) + a * s[2] + i * s[3] + j * s[4];
    for (int64_t k = 0; k < piece.count; ++k)
      for (int64_t o = 0; o < b.l.out_group; ++o)
        to[(group * b.l.out_group + o) * s[0] + (piece.channel - group * b.l.in_group + k) * s[1]] +=
            b.grad_weight[(block.first_row + piece.column + k) * b.l.out_padded + o];
  }
}

template <class T>
int32_t backward(const Problem& p) {
  Backward<T> b{p, Layout::of(p, T()), p.grad_offset.data || p.grad_mask.data, p.grad_input != nullptr,
                p.grad_weight.data != nullptr, 0, {}, {}, {}, {}};
  b.depth_blocks = (b.l.out_group + kDepth - 1) / kDepth;
  const int64_t rows = p.groups * b.l.depth;
  b.slots = allocate<BackwardSlot<T>>(p.threads);
  b.outputs = allocate<T>(p.threads * b.outputs_size());
  b.packed = allocate<T>(round_up(kBlock, panel_width<T>()) * b.l.out_group);
  b.grad_weight = allocate<T>(b.weight ? rows * b.l.out_padded : 0);
  if (!b.slots || !b.outputs || !b.packed || !b.grad_weight) return kNoMemory;
  if (b.weight) std::memset(b.grad_weight.get(), 0, rows * b.l.out_padded * sizeof(T));
  int64_t row = 0;
  for (int64_t group = 0; group < p.groups; ++group)
    for (int64_t a = 0; a < p.kernel[0]; ++a)
      for (Block& block : blocks_of(p, b.l, group, a)) {
        block.first_row = row;
        row += block.columns;
#pragma omp parallel num_threads(p.threads)
        backward_block(b, block, group, a, omp_get_thread_num());
        if (b.weight) write_grad_weight(b, block, group);
      }
  return kDone;
}

}  // namespace

// The two entries of this instruction set; `wide` means double.
#define LS3D_JOIN(a, b) a##b
#define LS3D_NAME(a, b) LS3D_JOIN(a, b)
int32_t LS3D_NAME(forward_, LS3D_ISA)(const Problem& p, bool wide) { return wide ? forward<double>(p) : forward<float>(p); }
int32_t LS3D_NAME(backward_, LS3D_ISA)(const Problem& p, bool wide) { return wide ? backward<double>(p) : backward<float>(p); }

}  // namespace ls3d
