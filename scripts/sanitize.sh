#!/bin/bash
# Usage: scripts/sanitize.sh [INSTRUCTION_SET...]
# Runs the CPU kernel's tests, with 2,000 random geometries, under AddressSanitizer and UndefinedBehaviorSanitizer.
# Needs GCC, and an environment with ls3d and its test dependencies. Exit status 0 means that no error was found.
# Instruction sets: avx512, avx2, portable; by default the widest one of this processor.
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
if [[ $(uname -m) == x86_64 ]]; then
    "$compiler" "${flags[@]}" -mavx2 -mfma -mf16c -DLS3D_ISA=avx2 -c $csrc/kernel.cpp -o "$build/avx2.o" &
    "$compiler" "${flags[@]}" -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -DLS3D_ISA=avx512 \
        -c $csrc/kernel.cpp -o "$build/avx512.o" &
    defines=(-DLS3D_HAS_AVX2 -DLS3D_HAS_AVX512)
fi
"$compiler" "${flags[@]}" -DLS3D_ISA=portable -c $csrc/kernel.cpp -o "$build/portable.o"
"$compiler" "${flags[@]}" "${defines[@]}" -c $csrc/dispatch.cpp -o "$build/dispatch.o"
wait
"$compiler" -shared -fopenmp -fsanitize=address,undefined "$build"/*.o -o "$build/libls3d.so"

# Python itself isn't instrumented, so the sanitizers' libraries must be preloaded, and leaks aren't reported.
preload="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so) \
$("$compiler" -print-file-name=libstdc++.so)"
for isa in "${@:-}"; do
    echo "== ${isa:-widest instruction set}"
    LD_PRELOAD=$preload LS3D_KERNEL=$build/libls3d.so LS3D_ISA=$isa OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} \
        ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
        python -m pytest tests/ops/test_backends.py -n 0 -m "slow or not slow" -p no:cacheprovider \
        --deselect tests/ops/test_backends.py::test_other_instruction_sets_agree \
        --deselect tests/ops/test_backends.py::test_addresses_beyond_32_bits
done
echo "no errors"
