// Who does what in the backward pass, settled before it starts, so that every sum has one order.
//
// Work is cut by input frame (one lock each: its gradient is added to by one thread at a time; where there are fewer
// frames than threads, one lock for each slice of its channels) and by part of the output positions (one owner each:
// the gradients of offsets and masks, and sums for the weight's). A task needs its lock and its owner.
#pragma once

#include "layout.h"

namespace ls3d {
namespace {

struct Task {
  int64_t frame;  // of the input, counted over all samples
  int64_t slice;  // of the channels of a group
  int64_t owner;
  int64_t first, last;  // tiles
  int64_t lock;
};

struct Sharing {
  int64_t slices, parts, owners, locks;
  std::vector<Task> tasks;  // for each lock and for each owner in the order in which they must be done
};

// What an input frame costs: how many pairs of output frame and temporal tap read it.
std::vector<int64_t> costs_of(const Problem& p) {
  std::vector<int64_t> costs(p.batch * p.in_size[0], 0);
  for (int64_t out = 0; out < p.out_size[0]; ++out)
    for (int64_t a = 0; a < p.kernel[0]; ++a)
      for (int64_t sample = 0; sample < p.batch && in_clip(p, out, a); ++sample)
        ++costs[sample * p.in_size[0] + frame_of(p, out, a)];
  return costs;
}

// Whole frames, one owner after the other, each with about the same cost.
void share_frames(const std::vector<int64_t>& costs, const Layout& l, Sharing& sharing) {
  int64_t total = 0, before = 0;
  for (int64_t cost : costs) total += cost;
  for (int64_t frame = 0; frame < int64_t(costs.size()); ++frame) {
    const int64_t owner = (2 * before + costs[frame]) * sharing.owners / maximum(1, 2 * total);
    sharing.tasks.push_back({frame, 0, minimum(owner, sharing.owners - 1), 0, l.tiles, frame});
    before += costs[frame];
  }
}

// A part of every frame for each owner. The order is that of a rehearsal in which the owner who is free first takes
// the lock that he can have first and, of several, the one with most work left.
void share_parts(const std::vector<int64_t>& costs, const Layout& l, Sharing& sharing) {
  const int64_t parts = sharing.parts, locks = sharing.locks;
  std::vector<int64_t> left(locks), busy(locks, 0), clock(parts, 0), undone(parts, locks);
  std::vector<char> done(locks * parts, 0);
  for (int64_t lock = 0; lock < locks; ++lock) left[lock] = parts * costs[lock / sharing.slices];
  while (int64_t(sharing.tasks.size()) < locks * parts) {
    int64_t owner = -1, best = -1;
    for (int64_t k = 0; k < parts; ++k)
      if (undone[k] && (owner < 0 || clock[k] < clock[owner])) owner = k;
    const auto start = [&](int64_t lock) { return maximum(busy[lock], clock[owner]); };
    for (int64_t k = 0; k < locks; ++k) {
      if (done[k * parts + owner]) continue;
      if (best < 0 || start(k) < start(best) || (start(k) == start(best) && left[k] > left[best])) best = k;
    }
    const int64_t frame = best / sharing.slices;
    clock[owner] = busy[best] = start(best) + costs[frame];
    left[best] -= costs[frame];
    done[best * parts + owner] = 1;
    --undone[owner];
    sharing.tasks.push_back(
        {frame, best % sharing.slices, owner, l.tiles * owner / parts, l.tiles * (owner + 1) / parts, best});
  }
}

// Settles on tiles, too. `lanes`: of a vector.
Sharing share_out(const Problem& p, Layout& l, int64_t lanes) {
  constexpr int64_t low = 4 * kRows;  // positions; tiles any lower waste the packed weights
  const int64_t frames = p.batch * p.in_size[0];
  const bool even = frames % p.threads == 0 && l.positions < low * p.threads;
  Sharing sharing{1, 1, p.threads, frames, {}};
  if (even || frames >= 8 * p.threads) {
    l.cut(l.tiles, kRows);
    share_frames(costs_of(p), l, sharing);
    return sharing;
  }
  sharing.parts = minimum(p.threads, parts_of(l.positions, low));
  sharing.slices = minimum(parts_of(sharing.parts, frames), maximum(1, l.in_group / (2 * lanes)));
  sharing.parts = sharing.owners = minimum(sharing.parts, frames * sharing.slices);
  sharing.locks = frames * sharing.slices;
  l.cut(round_up(l.tiles, sharing.parts), 1);
  share_parts(costs_of(p), l, sharing);
  return sharing;
}

}  // namespace
}  // namespace ls3d
