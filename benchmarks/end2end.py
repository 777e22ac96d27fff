"""Whole networks: frames per second of interpolation and the time of a training step, LS3D against plain convolution.

python benchmarks/end2end.py [--device cuda] [--json OUT]   medians; peak memory of the device beside them on CUDA
"""

from __future__ import annotations

import os
import sys

if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]  # operator.py beside this file would hide the standard library's

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ls3d.models import create_model

SIZES = ((256, 512), (360, 720))
NETWORKS = ("vfi_ls3d", "vfi_conv3d", "vfi_ls3d_plus_m")


def milliseconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median time of a call, after two to warm up."""
    times = []
    for turn in range(repeats + 2):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if turn >= 2:
            times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def steps(network: nn.Module, frames: Tensor, dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    """Inference in ``dtype``, and a training step under autocast to it."""
    optimizer = torch.optim.AdamW(network.parameters(), 1e-5)

    def infer() -> object:
        with torch.inference_mode(), torch.autocast(frames.device.type, dtype, enabled=dtype != torch.float32):
            return network(frames, [1, 2, 3])

    def train() -> object:
        optimizer.zero_grad()
        with torch.autocast(frames.device.type, dtype, enabled=dtype != torch.float32):
            loss = network(frames).float().square().mean()
        loss.backward()
        return optimizer.step()

    return {"inference": infer, "training step": train}


def measure(name: str, size: tuple[int, int], dtype: torch.dtype, device: torch.device, repeats: int) -> list[dict]:
    """Rows of one network at one size."""
    torch.manual_seed(0)
    network = create_model(name).to(device, memory_format=torch.channels_last_3d)
    multiple = network.size_multiple
    height, width = (-(-n // multiple) * multiple for n in size)
    frames = torch.rand(1, 3, 2, height, width, device=device).contiguous(memory_format=torch.channels_last_3d)
    rows = []
    for what, work in steps(network, frames, dtype).items():
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        row = {"network": name, "size": [height, width], "dtype": str(dtype).removeprefix("torch."), "what": what}
        row["ms"] = milliseconds(work, device, repeats)
        if what == "inference":
            row["new_frames_per_second"] = 3000 / row["ms"]
        if device.type == "cuda":
            row["peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
        rows.append(row)
    return rows


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", type=torch.device)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--network", nargs="+", default=NETWORKS)
    parser.add_argument("--size", type=int, nargs=2, action="append", metavar=("H", "W"))
    options = parser.parse_args()
    device = options.device
    machine = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    rows: list[dict] = []
    failed: list[str] = []
    for name in options.network:
        for size in options.size or SIZES:
            for dtype in (torch.bfloat16, torch.float32):
                try:
                    rows += measure(name, tuple(size), dtype, device, options.repeats)
                except RuntimeError as error:  # out of memory, say: the other rows still count
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
