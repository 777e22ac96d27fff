// bilateral_motion on the CPU, compiled once per instruction set (LS3D_ISA) and without contraction of sums and
// products: all sets, and plain torch, round alike and find the same minimum.
#include "motion.h"

#include "ls3d.h"
#include "motion_features.h"
#include "motion_field.h"
#include "motion_match.h"

namespace ls3d {
namespace {

// Everything that a call needs besides its arguments, for one sample.
struct Memory {
  std::vector<Size> sizes;                 // of the levels, the coarsest first
  std::vector<int64_t> pixels_before;      // of the coarser levels
  Buffer<float> pictures[2], features[2];  // all levels
  Buffer<float> fields[3];                 // y and x of a motion each
  Buffer<float> workspace;

  bool get(const MotionCall& call) {
    sizes = sizes_of(call);
    int64_t pixels = 0, share = 0;
    for (int64_t k = 0; k < call.levels; ++k) {
      pixels_before.push_back(pixels);
      pixels += sizes[k].pixels();
      const int64_t radius = std::max(call.radius[k], call.rest_radius[k]);
      const int64_t matching = match_workspace(radius, call.window_radius, sizes[k]);
      share = std::max({share, features_workspace(call, sizes[k]), matching});
    }
    const int64_t finest = sizes.back().pixels(), bands = bands_of(sizes.back().height, call.threads);
    workspace = allocate<float>(bands * share);
    for (auto& buffer : pictures) buffer = allocate<float>(kColors * pixels);
    for (auto& buffer : features) buffer = allocate<float>(kLanes * pixels);
    for (auto& buffer : fields) buffer = allocate<float>(2 * finest);
    const bool frames = pictures[0] && pictures[1] && features[0] && features[1];
    return frames && workspace && fields[0] && fields[1] && fields[2];
  }

  float* picture(int frame, int64_t level) const { return pictures[frame].get() + kColors * pixels_before[level]; }
  float* features_at(int frame, int64_t level) const { return features[frame].get() + kLanes * pixels_before[level]; }
  Field field(int which, Size size) const { return {fields[which].get(), fields[which].get() + size.pixels()}; }
};

// One frame of one sample at all levels.
void make_pictures(const MotionCall& call, const Memory& memory, int64_t sample, int frame) {
  const int64_t* stride = call.frame_stride[frame];
  const float* data = call.frame[frame] + sample * stride[0];
  Picture finer{data, {call.height, call.width}, stride[1], stride[2], stride[3]};
  for (int64_t k = call.levels - 1; k >= 0; --k) {
    float* picture = memory.picture(frame, k);
    halve(finer, picture, call.threads);
    finer = {picture, memory.sizes[k], memory.sizes[k].pixels(), memory.sizes[k].width, 1};
  }
}

// Features of both frames of one sample at all levels.
void make_features(const MotionCall& call, const Memory& memory, int64_t sample) {
  Statistics found[2];
  for (int frame = 0; frame < 2; ++frame) {
    make_pictures(call, memory, sample, frame);
    found[frame] = statistics_of(memory.picture(frame, 0), memory.sizes[0]);
  }
  for (int frame = 0; frame < 2; ++frame) {
    const float gain = gain_of(found[frame].contrast, found[1 - frame].contrast);
    for (int64_t k = 0; k < call.levels; ++k)
      features_of(call, memory.picture(frame, k), memory.sizes[k], found[frame].mean, gain,
                  memory.features_at(frame, k), memory.workspace.get());
  }
}

// The motion at one time, from coarse to fine, in pixels of the full size.
void find_motion(const MotionCall& call, const Memory& memory, double time, float* motion) {
  float* workspace = memory.workspace.get();
  for (int64_t k = 0; k < call.levels; ++k) {
    const Size size = memory.sizes[k];
    Match match{{memory.features_at(0, k), memory.features_at(1, k)},
                size,
                {float(-time), float(1.0 - time)},
                call.radius[k],
                call.window_radius,
                call.neighbor,
                call.penalty,
                call.share,
                call.tolerance,
                call.threads};
    const Field center = memory.field(0, size), found = memory.field(1, size), smooth = memory.field(2, size);
    if (k == 0) {
      std::fill(center.y, center.y + 2 * size.pixels(), 0.0f);
    } else {
      const Size coarse = memory.sizes[k - 1];
      const Field before = memory.field(2, coarse);
      enlarge(before.y, coarse, size, call.threads, found.y, workspace);
      enlarge(before.x, coarse, size, call.threads, found.x, workspace);
      select(match, found, center, workspace);
    }
    search(match, center, found, workspace);
    Field chosen = found;
    if (call.rest_radius[k] > 0) {
      std::fill(center.y, center.y + 2 * size.pixels(), 0.0f);
      match.radius = call.rest_radius[k];
      search(match, center, smooth, workspace);
      prefer_small(match, found, smooth, center, workspace);
      chosen = center;
    }
    median(chosen.y, size, call.threads, smooth.y);
    median(chosen.x, size, call.threads, smooth.x);
  }
  const float* result = memory.fields[2].get();
  const int64_t values = 2 * memory.sizes.back().pixels();
  for (int64_t k = 0; k < values; ++k) motion[k] = result[k] * 2.0f;
}

}  // namespace

#define LS3D_JOIN(a, b) a##b
#define LS3D_NAME(a, b) LS3D_JOIN(a, b)

int32_t LS3D_NAME(bilateral_motion_, LS3D_ISA)(const MotionCall& call) {
  Memory memory;
  if (!memory.get(call)) return kNoMemory;
  const int64_t values = 2 * memory.sizes.back().pixels();
  for (int64_t sample = 0; sample < call.batch; ++sample) {
    make_features(call, memory, sample);
    for (int64_t k = 0; k < call.times; ++k)
      find_motion(call, memory, call.time[k], call.motion + (sample * call.times + k) * values);
  }
  return kDone;
}

}  // namespace ls3d
