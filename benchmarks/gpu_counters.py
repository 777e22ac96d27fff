"""Hardware counters of the Triton kernels: the work that `ncu` watches, and its table as JSON.

python benchmarks/gpu_counters.py run                     one forward and backward between the profiler's marks
python benchmarks/gpu_counters.py read NCU.csv --json OUT  {kernel: {metric: value with unit}}
"""

from __future__ import annotations

import os
import sys

if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]  # operator.py beside this file would hide the standard library's

import argparse
import csv
import json
from pathlib import Path

import torch

from ls3d.ops._geometry import Geometry
from ls3d.ops.backends.triton import backend as cuda

SIZE = (4, 64, 7, 270, 480)


def run() -> None:
    """bfloat16, 64 channels, 3x3x3, offsets of about a pixel; compiled before the profiler looks."""
    torch.manual_seed(0)
    how = {"device": "cuda", "dtype": torch.bfloat16}
    x = torch.randn(SIZE, **how).contiguous(memory_format=torch.channels_last_3d)
    offset = torch.randn(SIZE[0], 54, *SIZE[2:], **how)
    mask = torch.rand(SIZE[0], 27, *SIZE[2:], **how)
    weight, bias = torch.randn(64, 64, 3, 3, 3, **how) / 40, torch.randn(64, **how)
    shapes = (x.shape, offset.shape, mask.shape, weight.shape, bias.shape)
    geometry = Geometry.of(*shapes, padding=1)
    for watched in (False, True):
        if watched:
            torch.cuda.profiler.start()
        output = cuda.forward(x, offset, mask, weight, bias, geometry)
        cuda.backward(torch.ones_like(output), x, offset, mask, weight, geometry, (True,) * 4)
        torch.cuda.synchronize()
    torch.cuda.profiler.stop()


def read(file: Path) -> dict[str, dict[str, str]]:
    """The first launch of every kernel in ncu's CSV."""
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
    """Parse the command line."""
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
    wanted = ("Duration", "Registers Per Thread", "Compute (SM) Throughput", "Memory Throughput", "L1/TEX Hit Rate")
    for kernel, metrics in found.items():
        print(f"{kernel:20}", *(f"{name}: {metrics.get(name, '-')}" for name in wanted), sep="  ")


if __name__ == "__main__":
    main()
