// The exported function of bilateral_motion. It uses the instruction set that the other functions use.
#include <cstring>

#include "motion.h"

#if defined(_WIN32)
#define LS3D_EXPORT extern "C" __declspec(dllexport)
#else
#define LS3D_EXPORT extern "C" __attribute__((visibility("default")))
#endif

LS3D_EXPORT const char* ls3d_isa();

namespace ls3d {

int32_t bilateral_motion_portable(const MotionCall&);
int32_t bilateral_motion_avx2(const MotionCall&);
int32_t bilateral_motion_avx512(const MotionCall&);

}  // namespace ls3d

LS3D_EXPORT int32_t ls3d_motion_abi() { return ls3d::kMotionAbi; }

LS3D_EXPORT int32_t ls3d_bilateral_motion(const ls3d::MotionCall* call) {
#ifdef LS3D_HAS_AVX512
  if (std::strncmp(ls3d_isa(), "avx512", 6) == 0) return ls3d::bilateral_motion_avx512(*call);
#endif
#ifdef LS3D_HAS_AVX2
  if (std::strcmp(ls3d_isa(), "avx2") == 0) return ls3d::bilateral_motion_avx2(*call);
#endif
  return ls3d::bilateral_motion_portable(*call);
}
