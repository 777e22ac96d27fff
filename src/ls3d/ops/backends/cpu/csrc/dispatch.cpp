// The exported functions: they pick the widest instruction set that this processor has.
#include <cstdlib>
#include <cstring>

#include "ls3d.h"

#if defined(_WIN32)
#define LS3D_EXPORT extern "C" __declspec(dllexport)
#else
#define LS3D_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace ls3d {

using Entry = int32_t (*)(const Problem&, bool);

struct Isa {
  const char* name;
  Entry forward, backward;
};

#define LS3D_DECLARE(isa)                        \
  int32_t forward_##isa(const Problem&, bool);   \
  int32_t backward_##isa(const Problem&, bool);

LS3D_DECLARE(portable)
#ifdef LS3D_HAS_AVX2
LS3D_DECLARE(avx2)
#endif
#ifdef LS3D_HAS_AVX512
LS3D_DECLARE(avx512)
#endif

// The widest set that the processor has; the environment variable LS3D_ISA asks for a narrower one.
static Isa choose() {
  const char* wanted = std::getenv("LS3D_ISA");
  auto fits = [wanted](const char* name) { return !wanted || !*wanted || std::strcmp(wanted, name) == 0; };
#ifdef LS3D_HAS_AVX512
  if (fits("avx512") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return {"avx512", forward_avx512, backward_avx512};
#endif
#ifdef LS3D_HAS_AVX2
  if (fits("avx2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return {"avx2", forward_avx2, backward_avx2};
#endif
  return {"portable", forward_portable, backward_portable};
}

static const Isa& chosen() {
  static const Isa isa = choose();
  return isa;
}

}  // namespace ls3d

LS3D_EXPORT int32_t ls3d_abi() { return ls3d::kAbi; }

LS3D_EXPORT const char* ls3d_isa() { return ls3d::chosen().name; }

LS3D_EXPORT int32_t ls3d_forward(const ls3d::Problem* problem, int32_t wide) {
  return ls3d::chosen().forward(*problem, wide != 0);
}

LS3D_EXPORT int32_t ls3d_backward(const ls3d::Problem* problem, int32_t wide) {
  return ls3d::chosen().backward(*problem, wide != 0);
}
