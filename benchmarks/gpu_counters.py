"""Hardware counters of the Triton kernels: the work that `ncu` profiles, and the conversion of its table to JSON.

python benchmarks/gpu_counters.py run                      one forward and one backward pass, to be profiled
python benchmarks/gpu_counters.py read NCU.csv --json OUT  {kernel: {metric: value with unit}}
"""

from __future__ import annotations

import os
import sys

if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]  # operator.py in this folder would hide the standard library's

import argparse
import csv
import json
from pathlib import Path

import torch
from torch import Tensor

from ls3d.ops._call import Call
from ls3d.ops.backends.triton import backend

SIZE = (4, 64, 7, 270, 480)


def run() -> None:
    """Run a call with 64 channels of bfloat16 and 3x3x3 taps twice: first to compile, then to be profiled."""
    torch.manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device="cuda", dtype=torch.bfloat16)

    input = normal(*SIZE).contiguous(memory_format=torch.channels_last_3d)
    offset = normal(SIZE[0], 54, *SIZE[2:])
    mask = torch.rand(SIZE[0], 27, *SIZE[2:], device="cuda", dtype=torch.bfloat16)
    call = Call.of(input, offset, mask, normal(64, 64, 3, 3, 3) / 40, normal(64), 1, 1)
    for profiled in (False, True):
        if profiled:
            torch.cuda.profiler.start()
        output = backend.forward(call)
        backend.backward(call, torch.ones_like(output), (True,) * 4)
        torch.cuda.synchronize()
    torch.cuda.profiler.stop()


def read(file: Path) -> dict[str, dict[str, str]]:
    """The metrics of the first launch of each kernel, from ncu's CSV."""
    lines = file.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith('"ID"'))
    found: dict[str, dict[str, str]] = {}
    first: dict[str, str] = {}
    for row in csv.DictReader(lines[start:]):
        kernel, launch = row["Kernel Name"], row["ID"]
        if first.setdefault(kernel, launch) == launch and row.get("Metric Name"):
            found.setdefault(kernel, {})[row["Metric Name"]] = f"{row['Metric Value']} {row['Metric Unit']}".strip()
    return found


def main() -> None:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("run")
    reader = commands.add_parser("read")
    reader.add_argument("file", type=Path)
    reader.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "run":
        run()
        return
    found = read(options.file)
    options.json.write_text(json.dumps(found, indent=1))
    shown = ("Duration", "Registers Per Thread", "Compute (SM) Throughput", "Memory Throughput", "L1/TEX Hit Rate")
    for kernel, metrics in found.items():
        print(f"{kernel:20}", *(f"{name}: {metrics.get(name, '-')}" for name in shown), sep="  ")


if __name__ == "__main__":
    main()
