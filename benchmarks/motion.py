"""Measures ``bilateral_motion`` against plain torch, and the interpolation on top of it, and writes JSON.

    python benchmarks/motion.py --threads 2 --json out.json
    python benchmarks/motion.py --device cuda --json out.json

Every row is one size of frames at t = 1/2: the device's kernel, the reference in plain torch, and the whole model
``bilateral``. Times are medians in milliseconds. The frames are a random texture that moves.
"""

from __future__ import annotations

import os
import sys

if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]  # operator.py beside this file would hide the standard library's

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ls3d.models import load_model
from ls3d.ops import bilateral_motion
from ls3d.ops._motion_plan import default_levels
from ls3d.ops.backends import reference_motion
from ls3d.ops.backends.cpu import library
from ls3d.ops.backends.cpu import motion as cpu_motion
from ls3d.ops.backends.triton import motion as triton_motion

SIZES = {"360p": (360, 640), "480p": (480, 640), "720p": (720, 1280), "1080p": (1080, 1920), "2160p": (2160, 3840)}


def moving_texture(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Two frames ``(1, 3, H, W)`` of a texture that moves by (3, -8) pixels."""
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(1, 3, height, width)
    for cell in (2, 4, 8, 16, 32):
        noise = torch.rand(1, 3, height // cell + 3, width // cell + 3, generator=generator) - 0.5
        total += F.interpolate(noise, scale_factor=cell, mode="bicubic")[..., :height, :width]
    first = (total * 0.35 + 0.5).clamp(0, 1)
    return first, first.roll((3, -8), dims=(-2, -1))


def median_ms(run: Callable[[], object], repeats: int) -> float:
    """Median time of a call after one that isn't counted."""
    run()
    _wait()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        _wait()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def _wait() -> None:
    """Until the GPU has finished."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(name: str, device: str, repeats: int) -> dict[str, str | float | None]:
    """One row."""
    height, width = SIZES[name]
    first, second = (frame.to(device) for frame in moving_texture(height, width))
    levels = default_levels(height, width)
    model, frames = load_model("bilateral").to(device), torch.stack([first, second], dim=2)
    kernel = None
    if (cpu_motion if device == "cpu" else triton_motion).supports(first) is None:
        kernel = median_ms(lambda: bilateral_motion(first, second, [0.5], levels), repeats)
    reference = median_ms(lambda: reference_motion.bilateral_motion(first, second, [0.5], levels), max(1, repeats // 3))
    whole = median_ms(lambda: model(frames, [0.5]), repeats)
    return {"size": name, "kernel": kernel, "plain_torch": reference, "model": whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES)[:4])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    with torch.inference_mode():
        for name in arguments.sizes:
            rows.append(measure(name, arguments.device, arguments.repeats))
            print(rows[-1], flush=True)
    if arguments.json:
        machine = {"processor": platform.processor(), "instruction_set": library.instruction_set()}
        if arguments.device == "cuda":
            machine = {"gpu": torch.cuda.get_device_name()}
        report = {"threads": arguments.threads, "torch": torch.__version__, **machine, "rows": rows}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
