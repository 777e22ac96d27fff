#!/usr/bin/env bash
# Trains the weights that come with the package and installs them in src/ls3d/weights. When it was interrupted, the same
# command resumes.
#
#   recipes/train_bundled.sh CLIPS [TASK ...] [-- section.key=value ...]
#
# CLIPS is a folder with the clips that recipes/_bundled.yaml lists. TASK is vfi, vsr or vdn; without any, all three are
# trained, in this order. Training starts from the weights in src/ls3d/weights, if there are any. PYTHON is the
# interpreter, python3 by default.
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
# On a GPU: larger crops and batches, to keep it busy, and a longer schedule. Crop, batch size, steps.
declare -A large=([vfi]="224 32 20000" [vsr]="256 32 30000" [vdn]="192 32 30000")

gpu=false
"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' && gpu=true
for task in "${tasks[@]}"; do
    weights=src/ls3d/weights/${networks[$task]:?no task is called $task; there are vfi, vsr and vdn}.safetensors
    output=runs/${task}_bundled
    settings=("data.root=$clips" "output=$output")
    [[ -f $weights ]] && settings+=("model.weights=$weights")
    if $gpu; then
        read -r crop batch steps <<<"${large[$task]}"
        settings+=(precision=bf16-mixed channels_last=true data.workers=12 "data.crop=$crop")
        settings+=("optimization.batch_size=$batch" "optimization.steps=$steps")
    fi
    "$python" -m ls3d train "recipes/$task/bundled.yaml" "${settings[@]}" "$@"
    install -m 644 "$output/weights.safetensors" "$weights"
done
