"""Exported networks against PyTorch: the time of one call, and how far the outputs are apart.

    python -P benchmarks/export.py [--model vfi vsr vdn] [--size 128 224] [--clip VIDEO] [--json out.json]

-P, because this folder holds a module named operator. The ONNX file of each network is written, unless it is in the
folder already, and both run in turn on the same random frames, each with all cores; the medians are compared. The
machine must do nothing else. With ``--clip``, both also enhance that video, without loss in the output, and the samples
of all planes are counted by the difference of their code values.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from ls3d.enhance import EnhanceOptions, denoise, interpolate, upscale
from ls3d.environment import versions
from ls3d.export import export_onnx
from ls3d.models import InterpolationNetwork, load_enhancement_model

_SIGMA = 10 / 255


def call_of(model: str | Path, size: tuple[int, int]) -> Callable[[], Tensor]:
    """A call of a network on random frames."""
    network = load_enhancement_model(model)
    traits = network.traits
    length = 2 if isinstance(network, InterpolationNetwork) else traits.frames_before + 1 + traits.frames_after
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(1, 3, length, *size, generator=generator)
    if isinstance(network, InterpolationNetwork):
        return lambda: network(frames, [0.5])
    return lambda: network(frames, torch.tensor([_SIGMA]) if traits.takes_sigma else None)


def measure(model: str, size: tuple[int, int], folder: Path, repeats: int) -> dict[str, Any]:
    """Median seconds of both, and the largest difference of their outputs."""
    path = folder / f"{model}.onnx"
    if not path.exists():
        export_onnx(model, path, size=size)
    with torch.inference_mode():
        calls = {"torch": call_of(model, size), "onnxruntime": call_of(path, size)}
        outputs = {name: call() for name, call in calls.items()}
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(repeats):
            for name, call in calls.items():
                begin = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    return {
        "model": model,
        "size": size,
        "seconds": medians,
        "ratio": medians["onnxruntime"] / medians["torch"],
        "difference": (outputs["torch"] - outputs["onnxruntime"]).abs().max().item(),
    }


def count_differences(model: str, path: Path, clip: Path, folder: Path) -> dict[str, Any]:
    """How many samples of the enhanced clip differ by how many code values."""
    task = load_enhancement_model(model).traits.task
    options = EnhanceOptions(codec="ffv1", device="cpu", overwrite=True)
    functions: dict[str, Any] = {"interpolation": interpolate, "super-resolution": upscale, "denoising": denoise}
    noise = {"sigma": 255 * _SIGMA} if task == "denoising" else {}
    made = [folder / f"{model}.{name}.mkv" for name in ("torch", "onnxruntime")]
    for network, target in zip((model, path), made, strict=True):
        functions[task](clip, target, model=network, options=options, **noise)
    counts: Counter[int] = Counter()
    frames = 0
    with av.open(made[0]) as first, av.open(made[1]) as second:
        for one, other in zip(first.decode(video=0), second.decode(video=0), strict=True):
            difference = np.abs(one.to_ndarray().astype(int) - other.to_ndarray())
            counts.update(dict(enumerate(np.bincount(difference.ravel()).tolist())))
            frames += 1
    return {"clip": clip.name, "frames": frames, "samples by difference": {key: counts[key] for key in sorted(counts)}}


def main() -> None:
    """Print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["vfi", "vsr", "vdn"])
    parser.add_argument("--size", type=int, nargs=2, default=(128, 224), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--clip", type=Path, help="video to enhance by both")
    parser.add_argument("--folder", type=Path, help="where ONNX files are kept")
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        rows = [measure(model, tuple(arguments.size), folder, arguments.repeats) for model in arguments.model]
        for row in rows if arguments.clip else []:
            model = row["model"]
            row["enhanced"] = count_differences(model, folder / f"{model}.onnx", arguments.clip, Path(temporary))
    cores = len(os.sched_getaffinity(0))
    text = json.dumps({"versions": versions("onnxruntime"), "cores": cores, "rows": rows}, indent=1)
    if arguments.json:
        arguments.json.write_text(f"{text}\n")
    print(text)


if __name__ == "__main__":
    main()
