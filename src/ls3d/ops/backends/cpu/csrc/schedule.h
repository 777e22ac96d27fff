// The tasks of the backward pass and their order. Both are fixed before the pass starts, so that every sum is always
// taken in the same order.
//
// A task backpropagates from some output positions to one input frame. Two tasks conflict, and must run one after the
// other, in two cases:
// - They have the same lock: they add to the gradient of the same input frame. If there are fewer frames than threads,
//   each slice of a frame's channels has a lock of its own.
// - They have the same owner: they add to the offset and mask gradients of the same positions, and to the same sum for
//   the weight's gradient.
#pragma once

#include "sizes.h"

namespace ls3d {
namespace {

struct Task {
  int64_t frame;  // input frame, counted over all samples
  int64_t slice;  // slice of the channels of each group
  int64_t owner;
  int64_t first, last;  // tiles [first, last) of each output frame
  int64_t lock;
};

// Conflicting tasks must run in the order of the list.
struct Schedule {
  int64_t slices, parts, owners, locks;
  std::vector<Task> tasks;
};

// The cost of each input frame of all samples: the number of pairs of an output frame and a temporal tap that read it.
std::vector<int64_t> frame_costs(const KernelCall& call) {
  std::vector<int64_t> costs(call.batch * call.in_size[0], 0);
  for (int64_t out = 0; out < call.out_size[0]; ++out)
    for (int64_t a = 0; a < call.kernel[0]; ++a)
      for (int64_t sample = 0; sample < call.batch && reads_clip(call, out, a); ++sample)
        ++costs[sample * call.in_size[0] + frame_read_by(call, out, a)];
  return costs;
}

// One task for each input frame. Consecutive frames go to the same owner; the owners' costs are about equal.
void schedule_whole_frames(const std::vector<int64_t>& costs, const Sizes& sizes, Schedule& schedule) {
  int64_t total = 0, before = 0;
  for (int64_t cost : costs) total += cost;
  for (int64_t frame = 0; frame < int64_t(costs.size()); ++frame) {
    const int64_t owner = (2 * before + costs[frame]) * schedule.owners / maximum(1, 2 * total);
    schedule.tasks.push_back({frame, 0, minimum(owner, schedule.owners - 1), 0, sizes.tiles, frame});
    before += costs[frame];
  }
}

// One task for each pair of a lock and an owner. An owner has the same part of the positions of every frame. Tasks are
// ordered by simulating greedy list scheduling: the owner that becomes free first takes the lock that is available
// earliest; ties go to the frame with most work left.
void schedule_frame_parts(const std::vector<int64_t>& costs, const Sizes& sizes, Schedule& schedule) {
  const int64_t parts = schedule.parts, locks = schedule.locks;
  std::vector<int64_t> work_left(locks), lock_free(locks, 0), owner_free(parts, 0), tasks_left(parts, locks);
  std::vector<char> done(locks * parts, 0);
  for (int64_t lock = 0; lock < locks; ++lock) work_left[lock] = parts * costs[lock / schedule.slices];
  while (int64_t(schedule.tasks.size()) < locks * parts) {
    int64_t owner = -1, best = -1;
    for (int64_t k = 0; k < parts; ++k)
      if (tasks_left[k] && (owner < 0 || owner_free[k] < owner_free[owner])) owner = k;
    const auto start = [&](int64_t lock) { return maximum(lock_free[lock], owner_free[owner]); };
    for (int64_t k = 0; k < locks; ++k) {
      if (done[k * parts + owner]) continue;
      if (best < 0 || start(k) < start(best) || (start(k) == start(best) && work_left[k] > work_left[best])) best = k;
    }
    const int64_t frame = best / schedule.slices;
    owner_free[owner] = lock_free[best] = start(best) + costs[frame];
    work_left[best] -= costs[frame];
    done[best * parts + owner] = 1;
    --tasks_left[owner];
    schedule.tasks.push_back(
        {frame, best % schedule.slices, owner, sizes.tiles * owner / parts, sizes.tiles * (owner + 1) / parts, best});
  }
}

// Also sets the tiles of `sizes`. `vector_lanes` is the number of elements in a vector.
Schedule make_schedule(const KernelCall& call, Sizes& sizes, int64_t vector_lanes) {
  // Fewest positions that a tile should have: every tile reads all packed weights again. 4 register tiles; not tuned.
  constexpr int64_t fewest = 4 * kRows;
  const int64_t frames = call.batch * call.in_size[0];
  const bool divides_evenly = frames % call.threads == 0 && sizes.positions < fewest * call.threads;
  Schedule schedule{1, 1, call.threads, frames, {}};
  // With at least 8 frames for each owner, the owners' costs differ by about one frame, an eighth. Not tuned.
  if (divides_evenly || frames >= 8 * call.threads) {
    sizes.set_tiles(sizes.tiles, kRows);
    schedule_whole_frames(frame_costs(call), sizes, schedule);
    return schedule;
  }
  schedule.parts = minimum(call.threads, divide_up(sizes.positions, fewest));
  const int64_t most_slices = sizes.bundle > 1 ? 1 : maximum(1, sizes.in_group / (2 * vector_lanes));
  schedule.slices = minimum(divide_up(schedule.parts, frames), most_slices);
  schedule.parts = schedule.owners = minimum(schedule.parts, frames * schedule.slices);
  schedule.locks = frames * schedule.slices;
  sizes.set_tiles(round_up(sizes.tiles, schedule.parts), 1);
  schedule_frame_parts(frame_costs(call), sizes, schedule);
  return schedule;
}

}  // namespace
}  // namespace ls3d
