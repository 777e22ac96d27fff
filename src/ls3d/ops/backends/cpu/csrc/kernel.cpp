// The CPU kernel, compiled once for each instruction set (LS3D_ISA).
#include "backward.h"
#include "forward.h"

namespace ls3d {

// The two entry points of this instruction set.
#define LS3D_JOIN(a, b) a##b
#define LS3D_NAME(a, b) LS3D_JOIN(a, b)

int32_t LS3D_NAME(forward_, LS3D_ISA)(const KernelCall& call, bool is_double) {
  return is_double ? forward<double>(call) : forward<float>(call);
}

int32_t LS3D_NAME(backward_, LS3D_ISA)(const KernelCall& call, bool is_double) {
  return is_double ? backward<double>(call) : backward<float>(call);
}

}  // namespace ls3d
