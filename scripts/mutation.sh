#!/usr/bin/env bash
# Mutation score of the operator's geometry and of the timestamps of videos: changes the code in small ways, one at a
# time, and counts for how many a test fails. Settings: [tool.mutmut] in pyproject.toml. Takes about half an hour.
#
#     pip install -c constraints.txt --group mutation
#     scripts/mutation.sh [REPORT.json]
set -euo pipefail
cd "$(dirname "$0")/.."
report=$(realpath "${1:-benchmarks/results/mutation.json}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r src tests pyproject.toml "$folder"

cd "$folder"
OMP_NUM_THREADS=1 PYTHONPATH=src mutmut run --max-children "${MUTATION_PROCESSES:-1}"
mutmut results --all true > results.txt
mutmut --version > version.txt
cd - > /dev/null
python scripts/mutation_report.py "$folder/results.txt" "$(< "$folder/version.txt")" "$report"
