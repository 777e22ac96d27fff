#!/usr/bin/env bash
# Checks that lines and branches of src/ls3d are covered, after `pytest --cov --cov-report=`.
# Exit status 0 means that the whole and each package is at or above the threshold.
set -euo pipefail
cd "$(dirname "$0")/.."

threshold=90
failed=()
for package in src/ls3d/*/; do
    compgen -G "$package*.py" >/dev/null || continue # the weights
    if [[ $package == */hosts/ ]] && ! python -c 'import vapoursynth' 2>/dev/null; then
        printf '\n%s\nnot checked: VapourSynth is not installed\n' "$package"
        continue
    fi
    printf '\n%s\n' "$package"
    coverage report --include "$package*" --fail-under $threshold || failed+=("$package")
done
printf '\nall\n'
coverage report --format total --fail-under $threshold || failed+=(all)
if ((${#failed[@]})); then
    echo "below $threshold %: ${failed[*]}" >&2
    exit 1
fi
