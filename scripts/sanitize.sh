#!/bin/bash
# Usage: scripts/sanitize.sh [INSTRUCTION_SET...]
# Runs the CPU kernel's tests, with 2,000 random geometries, under AddressSanitizer and UndefinedBehaviorSanitizer.
# Needs GCC, and an environment with ls3d and its test dependencies. Exit status 0 means that no error was found.
# Instruction sets: avx512_bf16, avx512, avx2, portable; by default the widest one of this processor.
set -euo pipefail
cd "$(dirname "$0")/.."

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
flags=(-O1 -g -std=gnu++17 -fPIC -fopenmp -ffp-contract=fast -fno-math-errno -fno-trapping-math -Wno-psabi
       -fno-omit-frame-pointer -fsanitize=address,undefined,float-cast-overflow,float-divide-by-zero
       -fno-sanitize-recover=all)
csrc=src/ls3d/ops/backends/cpu/csrc
compiler=${CXX:-g++}
defines=()
compile() {  # name of the instruction set, flags
    for plan in BilinearPlan BicubicPlan; do
        "$compiler" "${flags[@]}" "${@:2}" "-DLS3D_ISA=$1" "-DLS3D_PLAN=$plan" -c $csrc/kernel.cpp -o "$build/$1_$plan.o"
    done
    "$compiler" "${flags[@]}" "${@:2}" -ffp-contract=off "-DLS3D_ISA=$1" -c $csrc/motion.cpp -o "$build/motion_$1.o"
}
if [[ $(uname -m) == x86_64 ]]; then
    compile avx2 -mavx2 -mfma -mf16c &
    compile avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c &
    defines=(-DLS3D_HAS_AVX2 -DLS3D_HAS_AVX512)
fi
compile portable
for source in dispatch motion_dispatch; do
    "$compiler" "${flags[@]}" "${defines[@]}" -c $csrc/$source.cpp -o "$build/$source.o"
done
wait
"$compiler" -shared -fopenmp -fsanitize=address,undefined "$build"/*.o -o "$build/libls3d.so"

# Python itself isn't instrumented, so the sanitizers' libraries must be preloaded, and leaks aren't reported.
preload="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so) \
$("$compiler" -print-file-name=libstdc++.so)"
for isa in "${@:-}"; do
    echo "== ${isa:-widest instruction set}"
    LD_PRELOAD=$preload LS3D_KERNEL=$build/libls3d.so LS3D_ISA=$isa OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} \
        ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
        python -m pytest tests/ops/test_backends.py tests/ops/test_bilateral_motion.py -n 0 -m "slow or not slow" -p no:cacheprovider \
        --deselect tests/ops/test_backends.py::test_other_instruction_sets_agree \
        --deselect tests/ops/test_bilateral_motion.py::test_other_instruction_sets_agree \
        --deselect tests/ops/test_backends.py::test_addresses_beyond_32_bits
done
echo "no errors"
