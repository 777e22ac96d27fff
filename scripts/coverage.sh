#!/usr/bin/env bash
# Checks the branch coverage of the packages that have a threshold, after `pytest --cov --cov-report=`.
# Exit status 0 means that each of them is at or above it.
set -euo pipefail
cd "$(dirname "$0")/.."

threshold=90
failed=()
for package in video inference cli; do
    printf '\n%s\n' "ls3d.$package"
    coverage report --include "src/ls3d/$package/*" --fail-under $threshold || failed+=("ls3d.$package")
done
if ((${#failed[@]})); then
    echo "below $threshold %: ${failed[*]}" >&2
    exit 1
fi
