#!/usr/bin/env bash
# Train the weights that come with the package and put them in place. Stopped, the same command goes on.
#
#   recipes/train_bundled.sh CLIPS [section.key=value ...]
#
# CLIPS is a folder with the clips that recipes/vfi/bundled.yaml names. PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
clips=${1:?usage: recipes/train_bundled.sh CLIPS [section.key=value ...]}
shift
python=${PYTHON:-python3}
output=runs/vfi_bundled

settings=()
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    # What a large GPU needs to be busy; a longer schedule with it.
    settings=(precision=bf16-mixed data.workers=12 data.crop=224 optimisation.batch_size=32 optimisation.steps=20000)
fi
"$python" -m ls3d train recipes/vfi/bundled.yaml "data.root=$clips" "output=$output" "${settings[@]}" "$@"
install -m 644 "$output/weights.safetensors" src/ls3d/weights/vfi_ls3d_plus.safetensors
