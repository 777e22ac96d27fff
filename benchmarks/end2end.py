"""Benchmark of whole networks: interpolation and a training step, with LS3D and with plain convolutions.

    python benchmarks/end2end.py [--device cuda] [--json OUT]

Times are medians in milliseconds; on CUDA devices the peak memory is measured, too.
"""

from __future__ import annotations

import os
import sys

if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]  # operator.py in this folder would hide the standard library's

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ls3d.models import create_model
from ls3d.nn import make_channels_last

SIZES = ((256, 512), (360, 720))
NETWORKS = ("vfi_ls3d", "vfi_conv3d", "vfi_ls3d_plus_s")


def milliseconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The median time of a call, after two calls to warm up."""
    times = []
    for repeat in range(repeats + 2):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if repeat >= 2:
            times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def steps(network: nn.Module, frames: Tensor, dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    """Inference and a training step, both under autocast to ``dtype``."""
    optimizer = torch.optim.AdamW(network.parameters(), 1e-5)

    def infer() -> object:
        with torch.inference_mode(), torch.autocast(frames.device.type, dtype, enabled=dtype != torch.float32):
            return network(frames, [0.25, 0.5, 0.75])

    def train() -> object:
        optimizer.zero_grad()
        with torch.autocast(frames.device.type, dtype, enabled=dtype != torch.float32):
            loss = network(frames).float().square().mean()
        loss.backward()
        return optimizer.step()

    return {"inference": infer, "training step": train}


def measure(
    name: str, size: tuple[int, int], dtype: torch.dtype, device: torch.device, repeats: int
) -> list[dict[str, Any]]:
    """The rows of the result for one network and size."""
    torch.manual_seed(0)
    network = create_model(name).to(device)
    make_channels_last(network)
    multiple = network.traits.size_multiple
    height, width = (-(-n // multiple) * multiple for n in size)
    frames = torch.rand(1, 3, 2, height, width, device=device).contiguous(memory_format=torch.channels_last_3d)
    rows = []
    for what, work in steps(network, frames, dtype).items():
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        row: dict[str, Any] = {
            "network": name,
            "size": [height, width],
            "dtype": str(dtype).removeprefix("torch."),
            "what": what,
        }
        row["ms"] = milliseconds(work, device, repeats)
        if what == "inference":
            row["new_frames_per_second"] = 3000 / row["ms"]
        if device.type == "cuda":
            row["peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
        rows.append(row)
    return rows


def main() -> None:
    """Measure all networks and sizes, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", type=torch.device)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--network", nargs="+", default=NETWORKS)
    parser.add_argument("--size", type=int, nargs=2, action="append", metavar=("H", "W"))
    options = parser.parse_args()
    device = options.device
    machine = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    for name in options.network:
        for size in options.size or SIZES:
            for dtype in (torch.bfloat16, torch.float32):
                try:
                    rows += measure(name, tuple(size), dtype, device, options.repeats)
                except RuntimeError as error:  # such as out of memory: the other rows are still measured
                    failed.append(f"{name} {size} {dtype}: {error}")
                    continue
                for row in rows[-2:]:
                    print(f"{row['network']:15} {row['size']} {row['dtype']:9} {row['what']:14} {row['ms']:9.2f} ms")
    if options.json:
        result = {"machine": machine, "torch": torch.__version__, "rows": rows, "failed": failed}
        options.json.write_text(json.dumps(result, indent=1))
    if failed:
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main()
