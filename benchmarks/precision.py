"""Speed and loss of the floating-point types of the bundled networks on this CPU, as JSON.

    python -P benchmarks/precision.py [VIDEO] [--frames N] [--size HxW] [--repeat N] [--int8 NETWORKS] [--json FILE]

Each network is run on a degraded part of a clip, whose original frames are the truth: every second frame is left out
for interpolation, frames are reduced to a quarter for super-resolution, noise of 25 is added for denoising. The loss is
the difference of the mean PSNR to that in float32. Times are medians of a call, in seconds; run it on an idle machine.
bfloat16 pays on CPUs that compute in it (AVX512-BF16, AMX), which ``--precision auto`` looks for; others emulate it.
With ``--int8``, networks are exported, and their files compared with those that ONNX Runtime's dynamic quantization
makes of them: weights of 8 bits for each output channel, features quantized in each call.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ls3d.inference import Enhancer, Precision, computes_in_bfloat16
from ls3d.models import EnhancementNetwork, load_enhancement_model
from ls3d.nn.resize import imresize
from ls3d.video.arrays import read_video

CLIP = Path(__file__).parents[1] / "examples" / "crossing.mp4"
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
SIGMA = 25 / 255

#: A call of a network, and the frame that it should return, ``(3, H, W)``.
Case = tuple[Callable[[], Tensor], Tensor]


def read_clip(path: Path, count: int, size: tuple[int, int]) -> Tensor:
    """The middle of the first frames, ``(3, T, H, W)`` in [0, 1]."""
    frames = [torch.from_numpy(frame).permute(2, 0, 1).float() / 255 for frame in islice(read_video(path), count)]
    clip = torch.stack(frames, dim=1)
    top, left = (max(0, (side - wanted) // 2) for side, wanted in zip(clip.shape[2:], size, strict=True))
    return clip[:, :, top : top + size[0], left : left + size[1]]


def cases(enhancer: Enhancer, clip: Tensor) -> Iterator[Case]:
    """The calls of a network on a clip."""
    traits = enhancer.traits
    if traits.times is not None:
        for middle in range(1, clip.shape[1] - 1, 2):
            pair = clip[None, :, [middle - 1, middle + 1]]
            yield (lambda pair=pair: enhancer.interpolate(pair, [Fraction(1, 2)])[0, :, 0]), clip[:, middle]
        return
    before, after = traits.frames_before, traits.frames_after
    degraded = torch.stack([_degrade(frame, traits.scale) for frame in clip.unbind(1)], dim=1)
    sigma = torch.full((1,), SIGMA) if traits.takes_sigma else None
    for middle in range(before, clip.shape[1] - after):
        window = degraded[None, :, middle - before : middle + after + 1]
        yield (lambda window=window: enhancer.restore(window, sigma)[0]), clip[:, middle]


def _degrade(frame: Tensor, scale: int) -> Tensor:
    if scale > 1:
        return imresize(frame, Fraction(1, scale))
    generator = torch.Generator().manual_seed(0)
    return frame + SIGMA * torch.randn(frame.shape, generator=generator)


def measure(network: EnhancementNetwork, precision: Precision, clip: Tensor, repeat: int) -> dict[str, float]:
    """Mean PSNR and median time of the calls of a network."""
    enhancer = Enhancer(network, "cpu", precision)
    scores, times = [], []
    for call, truth in cases(enhancer, clip):
        call()  # the first call allocates memory
        for _ in range(repeat):
            start = time.perf_counter()
            output = call()
            times.append(time.perf_counter() - start)
        scores.append(-10 * float((output.clamp(0, 1) - truth).square().mean().log10()))
    return {"psnr": statistics.fmean(scores), "seconds": statistics.median(times)}


def report(names: list[str], clip: Tensor, repeat: int) -> dict[str, Any]:
    """Measure the networks in all floating-point types."""
    rows = []
    for name in names:
        network = load_enhancement_model(name)
        found = {precision: measure(network, precision, clip, repeat) for precision in PRECISIONS}
        single, half = (found[precision] for precision in PRECISIONS)
        loss, speed = single["psnr"] - half["psnr"], single["seconds"] / half["seconds"]
        rows.append({"model": name, **found, "loss_db": loss, "speed_ratio": speed})
        print(f"{name}: bfloat16 loses {loss:.3f} dB of {single['psnr']:.2f}, {speed:.2f} times the speed")
    return {
        "processor": platform.processor() or platform.machine(),
        "computes_in_bfloat16": computes_in_bfloat16(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "shape": list(clip.shape),
        "rows": rows,
    }


def report_int8(names: list[str], clip: Tensor, repeat: int) -> list[dict[str, Any]]:
    """Measure exported networks with float32 and with 8-bit weights."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from ls3d.export import export_onnx

    rows = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            files = {kind: Path(folder, f"{kind}.onnx") for kind in ("float32", "int8")}
            export_onnx(name, files["float32"])
            quantize_dynamic(files["float32"], files["int8"], per_channel=True, weight_type=QuantType.QInt8)
            row: dict[str, Any] = {"model": name}
            for kind, file in files.items():
                found = measure(load_enhancement_model(file), "float32", clip, repeat)
                row[kind] = found | {"bytes": file.stat().st_size}
        row["loss_db"] = row["float32"]["psnr"] - row["int8"]["psnr"]
        row["speed_ratio"] = row["float32"]["seconds"] / row["int8"]["seconds"]
        print(f"{name}.onnx: int8 loses {row['loss_db']:.3f} dB, {row['speed_ratio']:.2f} times the speed")
        rows.append(row)
    return rows


def main(words: list[str]) -> None:
    """Read the arguments, measure, and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("video", nargs="?", type=Path, default=CLIP)
    parser.add_argument("--frames", type=int, default=9, help="frames of the clip to use")
    parser.add_argument("--size", default="256x448", help="height and width of the part to use")
    parser.add_argument("--repeat", type=int, default=3, help="how often each call is timed")
    parser.add_argument("--models", default="bilateral,vfi,vsr,vdn", help="networks, separated by commas")
    parser.add_argument("--int8", default="", help="networks to export and measure with 8-bit weights, as --models")
    parser.add_argument("--json", type=Path, help="where to write the result")
    arguments = parser.parse_args(words)
    height, width = map(int, arguments.size.split("x"))
    clip = read_clip(arguments.video, arguments.frames, (height, width))
    result = report(arguments.models.split(","), clip, arguments.repeat)
    if arguments.int8:
        result["int8"] = report_int8(arguments.int8.split(","), clip, arguments.repeat)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
