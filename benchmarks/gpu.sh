#!/usr/bin/env bash
# All tests and benchmarks that need a GPU, with the python3 and the packages that are installed.
#
#   benchmarks/gpu.sh [-o FOLDER] [PART...]      parts: tests operator motion ncu end2end (default: all, in this order)
#
# Each part writes a log and JSON to FOLDER (default: benchmarks/gpu-results), and is stopped after LS3D_LIMIT seconds
# (default: 540). The others run even if a part fails. At the end, a table of all parts is printed.
# With LS3D_AUTOTUNE=1 the kernels' tile sizes are chosen by measurement.
set -u
cd "$(dirname "$0")/.."
out=benchmarks/gpu-results
if [ "${1:-}" = -o ]; then out=$2; shift 2; fi
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(tests operator motion ncu end2end)
mkdir -p "$out"
export PYTHONPATH=$PWD/src${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-$out/triton-cache}
limit=${LS3D_LIMIT:-540}

part_tests() {
    python3 -m pytest -p no:cacheprovider -n 0 -m gpu --override-ini 'addopts=-q --import-mode=importlib' tests \
        --junit-xml "$out/tests.xml" --durations 10
}

part_operator() { # torchvision's operator, one of the alternatives, supports float16 and float32 only
    local failed=0 type
    for type in bfloat16 float16 float32; do
        python3 benchmarks/operator.py --device cuda --dtype $type --seconds 0.3 --json "$out/operator-$type.json" || failed=1
    done
    return $failed
}

part_motion() { # correctness first: without it, times mean nothing
    python3 -m pytest -p no:cacheprovider -n 0 -m gpu --override-ini 'addopts=-q --import-mode=importlib' tests/ops/test_triton_motion.py &&
        python3 benchmarks/motion.py --device cuda --json "$out/motion.json"
}

part_ncu() { # without clock control, which changes the GPU's settings
    ncu --clock-control none --profile-from-start off --csv --log-file "$out/ncu.csv" --kernel-name-base function \
        --kernel-name 'regex:(forward|sampling|scatter|input|weight)_kernel' \
        --section SpeedOfLight --section LaunchStats --section Occupancy --section MemoryWorkloadAnalysis \
        --section WarpStateStats --section SchedulerStats \
        python3 benchmarks/gpu_counters.py run
    python3 benchmarks/gpu_counters.py read "$out/ncu.csv" --json "$out/ncu.json"
}

part_end2end() {
    python3 benchmarks/end2end.py --device cuda --json "$out/end2end.json"
}

export out
export -f part_tests part_operator part_motion part_ncu part_end2end
python3 - >"$out/machine.txt" 2>&1 <<'PYTHON'
import torch, triton
print(torch.cuda.get_device_name(), torch.__version__, "triton", triton.__version__, "cuDNN", torch.backends.cudnn.version())
PYTHON

table=()
for part in "${parts[@]}"; do
    case $part in
        tests | operator | motion | ncu | end2end) ;;
        *) echo "gpu.sh: part '$part', expected tests, operator, motion, ncu or end2end" >&2; exit 2 ;;
    esac
    start=$SECONDS
    timeout -k 10 "$limit" bash -c "part_$part" >"$out/$part.log" 2>&1
    code=$?
    tail -n 25 "$out/$part.log"
    table+=("$(printf '%-10s %-24s %5d s' "$part" "$([ $code -eq 0 ] && echo done || echo "failed with $code")" $((SECONDS - start)))")
done
printf '\n%s\n' "$(cat "$out/machine.txt")"
printf '%s\n' "${table[@]}"
[[ ! "${table[*]}" =~ failed ]]
