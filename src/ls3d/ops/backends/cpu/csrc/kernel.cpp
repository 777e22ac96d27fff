// The CPU kernel, compiled once for each instruction set (LS3D_ISA) and interpolation (LS3D_PLAN).
#include "backward.h"
#include "forward.h"
#include "transpose.h"

namespace ls3d {

// The entry points.
#define LS3D_JOIN(a, b, c) a##b##_##c
#define LS3D_NAME(a, b, c) LS3D_JOIN(a, b, c)

int32_t LS3D_NAME(forward_, LS3D_PLAN, LS3D_ISA)(const KernelCall& call, bool is_double) {
  return is_double ? forward<LS3D_PLAN, double>(call) : forward<LS3D_PLAN, float>(call);
}

int32_t LS3D_NAME(backward_, LS3D_PLAN, LS3D_ISA)(const KernelCall& call, bool is_double) {
  return is_double ? backward<LS3D_PLAN, double>(call) : backward<LS3D_PLAN, float>(call);
}

void LS3D_NAME(transpose_, LS3D_PLAN, LS3D_ISA)(const Transposition& call, bool is_double) {
  is_double ? transpose<double>(call) : transpose<float>(call);
}

}  // namespace ls3d
