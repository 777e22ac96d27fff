#!/usr/bin/env bash
# Trains the weights that come with the package and installs them in src/ls3d/weights. When it was interrupted, the same
# command resumes.
#
#   recipes/train_bundled.sh CLIPS [TASK ...] [-- section.key=value ...]
#
# CLIPS is a folder with the clips that recipes/_bundled.yaml lists. TASK is vfi, vsr or vdn; without any, all three are
# trained, one after the other, on a GPU at the same time: one of them alone doesn't keep a large GPU busy. Training
# starts from the weights in src/ls3d/weights, if there are any. PYTHON is the interpreter, python3 by default.
set -euo pipefail
cd "$(dirname "$0")/.."
clips=${1:?usage: recipes/train_bundled.sh CLIPS [vfi|vsr|vdn ...] [-- section.key=value ...]}
shift
tasks=()
while (($#)) && [[ $1 != -- ]]; do
    tasks+=("$1")
    shift
done
[[ ${1:-} == -- ]] && shift
((${#tasks[@]})) || tasks=(vfi vsr vdn)
python=${PYTHON:-python3}

declare -A networks=([vfi]=vfi_ls3d_plus_s [vsr]=vsr_ls3d_plus_s [vdn]=vdn_ls3d_plus_s)
# On a GPU: larger crops and batches, and a longer schedule. Crop, batch size, steps. The bundled weights had these; all
# three at once took 390 seconds on an H200.
declare -A large=([vfi]="160 16 6200" [vsr]="192 16 6000" [vdn]="128 16 5400")

gpu=false
"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' && gpu=true

train() {
    local task=$1 weights=src/ls3d/weights/${networks[$1]}.safetensors output=runs/$1_bundled crop batch steps
    local settings=("data.root=$clips" "output=$output")
    shift
    [[ -f $weights ]] && settings+=("model.weights=$weights")
    if $gpu; then
        read -r crop batch steps <<<"${large[$task]}"
        settings+=(precision=bf16-mixed channels_last=true data.workers=4 "data.crop=$crop")
        settings+=("optimization.batch_size=$batch" "optimization.steps=$steps" steps_per_epoch=1000)
        settings+=(optimization.warm_up=100 optimization.ema=0.998)
    fi
    "$python" -m ls3d train "recipes/$task/bundled.yaml" "${settings[@]}" "$@"
    install -m 644 "$output/weights.safetensors" "$weights"
    if [[ $task == vfi ]]; then # see "Training importances" in docs/interpolation.md
        "$python" -P scripts/scale_corrections.py 0.8 "$output/weights.safetensors" "$weights"
        "$python" -P scripts/scale_corrections.py 1 "$weights" "${weights/_s./_sharp.}" --name vfi_ls3d_plus_sharp
    fi
}

for task in "${tasks[@]}"; do
    : "${networks[$task]:?no task is called $task; there are vfi, vsr and vdn}"
done
if ! $gpu; then
    for task in "${tasks[@]}"; do train "$task" "$@"; done
    exit
fi
# The first to decode the clips caches them for all.
"$python" -c 'import sys; from ls3d.data.cache import open_clips; open_clips(sys.argv[1])' "$clips"
running=()
for task in "${tasks[@]}"; do
    train "$task" "$@" &
    running+=($!)
done
status=0
for process in "${running[@]}"; do wait "$process" || status=$?; done
exit "$status"
