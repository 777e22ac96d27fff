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
  EntryPoint forward[2], backward[2];  // for each Interpolation
  void (*transpose)(const Transposition&, bool);
  bool bfloat16;  // whether the processor multiplies bfloat16
};

#define LS3D_DECLARE(isa)                                                                        \
  int32_t forward_BilinearPlan_##isa(const KernelCall&, bool);                                   \
  int32_t forward_BicubicPlan_##isa(const KernelCall&, bool);                                    \
  int32_t backward_BilinearPlan_##isa(const KernelCall&, bool);                                  \
  int32_t backward_BicubicPlan_##isa(const KernelCall&, bool);                                   \
  void transpose_BilinearPlan_##isa(const Transposition&, bool);                                 \
  static constexpr InstructionSet isa{#isa,                                                      \
                                      {forward_BilinearPlan_##isa, forward_BicubicPlan_##isa},   \
                                      {backward_BilinearPlan_##isa, backward_BicubicPlan_##isa}, \
                                      transpose_BilinearPlan_##isa,                              \
                                      false};

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
  [[maybe_unused]] const auto allowed = [wanted](const char* name) {
    return !wanted || !*wanted || std::strcmp(wanted, name) == 0;
  };
#ifdef LS3D_HAS_AVX512
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
#ifdef LS3D_COMPILES_BFLOAT16
    if (allowed("avx512_bf16") && __builtin_cpu_supports("avx512bf16")) {
      InstructionSet set = avx512;
      set.name = "avx512_bf16";
      set.bfloat16 = true;
      return set;
    }
#endif
    if (allowed("avx512")) return avx512;
  }
#endif
#ifdef LS3D_HAS_AVX2
  if (allowed("avx2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2;
#endif
  return portable;
}

static const InstructionSet& chosen() {
  static const InstructionSet set = choose();
  return set;
}

}  // namespace ls3d

LS3D_EXPORT int32_t ls3d_abi() { return ls3d::kAbi; }

LS3D_EXPORT const char* ls3d_isa() { return ls3d::chosen().name; }

LS3D_EXPORT int32_t ls3d_forward(const ls3d::KernelCall* call, int32_t is_double) {
  ls3d::KernelCall allowed = *call;
  allowed.bfloat16_products = allowed.bfloat16_products && ls3d::chosen().bfloat16;
  return ls3d::chosen().forward[call->interpolation](allowed, is_double != 0);
}

LS3D_EXPORT int32_t ls3d_backward(const ls3d::KernelCall* call, int32_t is_double) {
  return ls3d::chosen().backward[call->interpolation](*call, is_double != 0);
}

LS3D_EXPORT void ls3d_transpose(const ls3d::Transposition* call, int32_t is_double) {
  ls3d::chosen().transpose(*call, is_double != 0);
}
