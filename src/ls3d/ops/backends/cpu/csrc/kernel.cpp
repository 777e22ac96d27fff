// The CPU kernel, compiled once per instruction set (LS3D_ISA).
#include "backward.h"
#include "forward.h"

namespace ls3d {

// The two entries of this instruction set; `wide` means double.
#define LS3D_JOIN(a, b) a##b
#define LS3D_NAME(a, b) LS3D_JOIN(a, b)

int32_t LS3D_NAME(forward_, LS3D_ISA)(const Problem& p, bool wide) {
  return wide ? forward<double>(p) : forward<float>(p);
}

int32_t LS3D_NAME(backward_, LS3D_ISA)(const Problem& p, bool wide) {
  return wide ? backward<double>(p) : backward<float>(p);
}

}  // namespace ls3d
