#!/usr/bin/env bash
# Writes a software bill of materials (CycloneDX, JSON) of the packages that are installed beside ls3d, with their
# versions and licenses. For the packages that ls3d needs and no other, install it alone:
#
#     python3 -m venv clean && clean/bin/pip install -c constraints.txt .
#     scripts/sbom.sh dist/sbom.json clean/bin/python
#
# Needs cyclonedx-py: pip install -c constraints.txt --group sbom
set -euo pipefail
cd "$(dirname "$0")/.."
output=${1:-dist/sbom.json}
mkdir -p "$(dirname "$output")"
cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible \
    --output-format JSON --output-file "$output" "${2:-$(command -v python)}"
