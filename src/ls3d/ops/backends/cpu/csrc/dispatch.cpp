// The exported functions. They use the widest instruction set that this processor has.
#include <cstdlib>
#include <cstring>

#include "ls3d.h"

#if defined(_WIN32)
#define LS3D_EXPORT extern "C" __declspec(dllexport)
#else
#define LS3D_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace ls3d {

using EntryPoint = int32_t (*)(const KernelCall&, bool);

struct InstructionSet {
  const char* name;
  EntryPoint forward, backward;
};

#define LS3D_DECLARE(isa)                         \
  int32_t forward_##isa(const KernelCall&, bool); \
  int32_t backward_##isa(const KernelCall&, bool);

LS3D_DECLARE(portable)
#ifdef LS3D_HAS_AVX2
LS3D_DECLARE(avx2)
#endif
#ifdef LS3D_HAS_AVX512
LS3D_DECLARE(avx512)
#endif

// The widest set that the processor has, or the set that the environment variable LS3D_ISA names if it has that one.
static InstructionSet choose() {
  const char* wanted = std::getenv("LS3D_ISA");
  auto allowed = [wanted](const char* name) { return !wanted || !*wanted || std::strcmp(wanted, name) == 0; };
#ifdef LS3D_HAS_AVX512
  if (allowed("avx512") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return {"avx512", forward_avx512, backward_avx512};
#endif
#ifdef LS3D_HAS_AVX2
  if (allowed("avx2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return {"avx2", forward_avx2, backward_avx2};
#endif
  return {"portable", forward_portable, backward_portable};
}

static const InstructionSet& chosen() {
  static const InstructionSet set = choose();
  return set;
}

}  // namespace ls3d

LS3D_EXPORT int32_t ls3d_abi() { return ls3d::kAbi; }

LS3D_EXPORT const char* ls3d_isa() { return ls3d::chosen().name; }

LS3D_EXPORT int32_t ls3d_forward(const ls3d::KernelCall* call, int32_t is_double) {
  return ls3d::chosen().forward(*call, is_double != 0);
}

LS3D_EXPORT int32_t ls3d_backward(const ls3d::KernelCall* call, int32_t is_double) {
  return ls3d::chosen().backward(*call, is_double != 0);
}
