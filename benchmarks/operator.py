"""Compares ``ls3d_conv3d`` with a dense convolution, with a composition of torch's functions and with torchvision.

    python benchmarks/operator.py --device cpu --json out.json
    python benchmarks/operator.py --device cuda --dtype bfloat16 --json out.json

Each row of the result is one layer. These are measured:

- ``ls3d_conv3d`` and ``F.conv3d``, on contiguous and on channels-last features, of which the faster layout counts;
- on CPUs oneDNN's convolution, which torch doesn't always choose: it has no backward pass of its own;
- the composition of ``grid_sample`` and ``einsum``;
- if torchvision is installed, ``torchvision.ops.deform_conv2d`` on frames that are stacked in the channels;
- on GPUs ``ls3d_conv3d`` and ``F.conv3d`` as CUDA graphs, too, whose times don't contain those of Python.

Times are medians in milliseconds; those of ``ls3d_conv3d`` and the convolutions are of calls in turn, so that what else
the machine does affects their ratio less. With ``--passes`` they are the least medians of several passes over all
layers. Offsets are normally distributed with a deviation of two pixels.
"""

from __future__ import annotations

import os
import sys

if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]  # this file would hide the standard library's ``operator``

import argparse
import functools
import importlib
import json
import math
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ls3d.ops import ls3d_conv3d
from ls3d.ops.backends.cpu import library

Run = Callable[[], Any]
COMPARED = ("ls3d", "conv3d", "onednn")  # in turn; the others take much longer
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last_3d}


@dataclass(frozen=True)
class Shape:
    """The sizes of one layer; ``input`` is ``(N, C, T, H, W)``."""

    name: str
    input: tuple[int, int, int, int, int]
    kernel: tuple[int, int, int]
    out_channels: int
    stride: tuple[int, int, int] = (1, 1, 1)
    groups: int = 1
    offset_groups: int = 1

    @property
    def plain(self) -> bool:
        """Whether the composition and torchvision's operator can compute it as they are called here."""
        return self.stride == (1, 1, 1) and self.groups == self.offset_groups == 1

    @property
    def out_size(self) -> list[int]:
        """Frames, height and width of the output."""
        sizes = zip(self.input[2:], self.kernel, self.padding, self.stride, strict=True)
        return [(size + 2 * pad - kernel) // step + 1 for size, kernel, pad, step in sizes]

    @property
    def padding(self) -> tuple[int, ...]:
        return tuple(k // 2 for k in self.kernel)

    @property
    def taps(self) -> int:
        return math.prod(self.kernel)

    @property
    def gflop(self) -> float:
        n, c = self.input[:2]
        return 2e-9 * n * (c // self.groups) * math.prod(self.out_size) * self.taps * self.out_channels


def shapes() -> list[Shape]:
    """The blocks of ``vfi_ls3d``, the 3x1x1 layers of I3D, and a sweep of sizes and numbers of channels."""
    found = []
    for height, width in ((256, 512), (360, 720)):
        for blocks, frames in (("1, 2", 2), ("3, 4", 3), ("5, 6", 5)):
            name = f"vfi_ls3d {height}x{width}, blocks {blocks}"
            found.append(Shape(name, (1, 64, frames, height // 4, width // 4), (3, 3, 3), 64))
    for stage, side, inner, outer in ((2, 56, 64, 256), (3, 28, 128, 512), (4, 14, 256, 1024), (5, 7, 512, 2048)):
        found.append(Shape(f"I3D res{stage}, first", (1, outer, 8, side, side), (3, 1, 1), inner))
    for side, channels in ((128, 16), (64, 32), (128, 32), (32, 64), (64, 64), (32, 128), (16, 256), (8, 512)):
        found.append(Shape(f"sweep {side}x{side}, {channels}", (1, channels, 5, side, side), (3, 3, 3), channels))
    found.append(Shape("many small clips", (4, 64, 5, 32, 32), (3, 3, 3), 64))
    found.append(Shape("frames of a wide picture", (1, 64, 3, 64, 128), (3, 3, 3), 64))
    for channels, kernel in ((64, (3, 3, 3)), (24, (3, 3, 3)), (128, (1, 3, 3))):
        found.append(Shape(f"depthwise, {channels}", (1, channels, 8, 56, 56), kernel, channels, groups=channels))
    sampled = (1, 64, 5, 64, 64)
    found += [Shape(f"{n} groups", sampled, (3, 3, 3), 64, groups=n) for n in (4, 16)]
    found += [Shape(f"{n} offset groups", sampled, (3, 3, 3), 64, offset_groups=n) for n in (16, 64)]
    for channels, out_channels in ((1, 16), (3, 16), (7, 16), (64, 3)):
        found.append(Shape(f"{channels} to {out_channels}", (1, channels, 5, 128, 128), (3, 3, 3), out_channels))
    found += [Shape(f"stem, {n}x7x7", (1, 3, 8, 112, 112), (n, 7, 7), 64, stride=(1, 2, 2)) for n in (1, 7)]
    found.append(Shape("pointwise", (1, 64, 5, 64, 64), (1, 1, 1), 64))
    found.append(Shape("tiny", (1, 8, 3, 8, 8), (3, 3, 3), 8))
    return found


def large() -> Shape:
    """A layer that fills a large GPU, for the peak memory and the roofline."""
    return Shape("four clips of seven frames, 270x480", (4, 64, 7, 270, 480), (3, 3, 3), 64)


def draw(
    shape: Shape, layout: torch.memory_format, device: torch.device, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """Input, offset, mask and weight, which require gradients, and the gradient of the output."""
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator).to(device, dtype)

    n, c = shape.input[:2]
    input = normal(*shape.input).contiguous(memory_format=layout)
    taps, size = shape.taps * shape.offset_groups, shape.out_size
    offset, mask = 2 * normal(n, 2 * taps, *size), normal(n, taps, *size).sigmoid()
    weight = normal(shape.out_channels, c // shape.groups, *shape.kernel) / math.sqrt(c // shape.groups * shape.taps)
    grad = normal(n, shape.out_channels, *size).contiguous(memory_format=layout)
    return [*(tensor.requires_grad_() for tensor in (input, offset, mask, weight)), grad]


def composition(input: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, shape: Shape) -> Tensor:
    """The operator as a composition of torch's functions, one tap at a time so that the samples fit into memory."""
    n, _, frames, height, width = input.shape
    padded = F.pad(input, (0, 0, 0, 0, shape.padding[0], shape.padding[0]))
    rows, columns = torch.meshgrid(
        torch.arange(height, device=input.device), torch.arange(width, device=input.device), indexing="ij"
    )
    total, spatial = None, shape.kernel[1] * shape.kernel[2]
    for tap in range(shape.taps):
        a, (i, j) = tap // spatial, divmod(tap % spatial, shape.kernel[2])
        shift = offset[:, 2 * tap : 2 * tap + 2].transpose(1, 2).flatten(0, 1)
        y, x = shift[:, 0] + rows + i - shape.padding[1], shift[:, 1] + columns + j - shape.padding[2]
        grid = torch.stack((2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), -1)
        source = padded[:, :, a : a + frames].transpose(1, 2).flatten(0, 1)
        samples = F.grid_sample(source, grid, align_corners=True).unflatten(0, (n, frames))
        samples = samples * mask[:, tap].unsqueeze(2)
        part = torch.einsum("oc,ntchw->nothw", weight[:, :, a, i, j], samples)
        total = part if total is None else total + part
    assert total is not None
    return total


def torchvision_operator(input: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, shape: Shape) -> Tensor:
    """The operator as one ``torchvision.ops.deform_conv2d`` call: the frames of all temporal taps become channels."""
    deform_conv2d = importlib.import_module("torchvision.ops").deform_conv2d
    frames, depth = input.shape[2], shape.kernel[0]
    padded = F.pad(input, (0, 0, 0, 0, shape.padding[0], shape.padding[0]))
    stacked = torch.cat([padded[:, :, a : a + frames] for a in range(depth)], 1).transpose(1, 2).flatten(0, 1)
    by_frame = [tensor.transpose(1, 2).flatten(0, 1) for tensor in (offset, mask)]
    output: Tensor = deform_conv2d(
        stacked, by_frame[0], weight.transpose(1, 2).flatten(1, 2), padding=shape.padding[1:], mask=by_frame[1]
    )
    return torch.unflatten(output, 0, (input.shape[0], frames)).transpose(1, 2)


def has_torchvision() -> bool:
    """Whether torchvision's compiled operators can be imported."""
    try:
        importlib.import_module("torchvision.ops")
    except (ImportError, RuntimeError, OSError):
        return False
    return True


def once(run: Run, device: torch.device) -> float:
    """The time of one call in milliseconds."""
    synchronize = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    synchronize()
    start = time.perf_counter()
    run()
    synchronize()
    return 1e3 * (time.perf_counter() - start)


def median(run: Run, device: torch.device, seconds: float) -> float:
    """The median time in milliseconds of 3 to 15 calls in ``seconds``, after one call to warm up, on a GPU two.

    If the last of these takes more than a second, its time is the result.
    """
    if device.type == "cuda":
        once(run, device)  # compiles
    first = once(run, device)
    if first > 1e3:
        return first
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or (len(times) < 15 and time.perf_counter() < end):
        times.append(once(run, device))
    return statistics.median(times)


def in_turn(runs: dict[str, Run], device: torch.device, seconds: float) -> dict[str, float]:
    """The median times in milliseconds of calls in turn for ``seconds``, at least three turns, after one turn.

    What else the machine does for a while affects all of them. In a turn each is called three times; the first of these
    isn't counted, as it finds the data of others in the caches.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        once(run, device)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or any(len(each) < 6 for each in times.values()):
        for name, run in runs.items():
            times[name] += [once(run, device) for _ in range(3)][1:]
    return {name: round(statistics.median(each), 3) for name, each in times.items()}


def directions(forward: Run, inputs: list[Tensor], grad: Tensor) -> tuple[Run, Run]:
    """The forward pass alone, and with the backward pass for all gradients."""

    def forward_only() -> None:
        with torch.no_grad():
            forward()

    def forward_and_backward() -> None:
        torch.autograd.grad(forward(), inputs, grad)

    return forward_only, forward_and_backward


def implementations(shape: Shape, tensors: list[Tensor], layout: str) -> dict[str, tuple[Run, Run]]:
    """The implementations that are measured with a layout, by name; forward, and forward and backward."""
    input, offset, mask, weight, grad = tensors
    plain = weight.detach().contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    four = [input, offset, mask, weight]
    pad, step, groups = shape.padding, shape.stride, shape.groups
    found: dict[str, tuple[Run, Run]] = {
        "ls3d": directions(lambda: ls3d_conv3d(input, offset, mask, weight, None, step, pad, 1, groups), four, grad),
        "conv3d": directions(lambda: F.conv3d(input, plain, None, step, pad, 1, groups), [input, plain], grad),
    }
    if input.device.type == "cpu":

        def onednn() -> Tensor:
            result: Tensor = torch.ops.aten.mkldnn_convolution(input, plain, None, pad, step, (1, 1, 1), groups)
            return result

        found["onednn"] = directions(onednn, [input, plain], grad)
    if layout == "contiguous" and shape.plain:
        found["composition"] = directions(functools.partial(composition, *four, shape), four, grad)
        if has_torchvision() and input.dtype != torch.bfloat16:  # not supported
            found["torchvision"] = directions(functools.partial(torchvision_operator, *four, shape), four, grad)
    return found


def measure(
    shape: Shape, device: torch.device, seconds: float, only: Sequence[str], dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """The times of all implementations for one layer, each with its faster layout."""
    row: dict[str, Any] = asdict(shape) | {"gflop": round(shape.gflop, 3), "forward": {}, "both": {}, "layouts": {}}
    if device.type == "cuda":
        row["graph"] = {"forward": {}, "both": {}}
    for layout, memory_format in LAYOUTS.items():
        tensors = draw(shape, memory_format, device, dtype)
        pairs = {name: p for name, p in implementations(shape, tensors, layout).items() if not only or name in only}
        compared = [name for name in COMPARED if name in pairs]
        for k, direction in enumerate(("forward", "both")):
            times = in_turn({name: pairs[name][k] for name in compared}, device, seconds * len(compared))
            for name in pairs.keys() - times.keys():
                times[name] = round(median(pairs[name][k], device, seconds), 3)
            for name in pairs:
                row["layouts"][f"{name} {layout} {direction}"] = times[name]
                row[direction][name] = min(row[direction].get(name, math.inf), times[name])
                if device.type == "cuda" and name in ("ls3d", "conv3d"):
                    best = row["graph"][direction].get(name, math.inf)
                    row["graph"][direction][name] = round(min(best, graph_time(pairs[name][k], device, seconds)), 4)
    return row


def graph_time(run: Run, device: torch.device, seconds: float) -> float:
    """The median time in milliseconds of a CUDA graph of ten calls, over ten."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):  # as torch.cuda.graph requires
        run()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(10):
            run()
    return median(graph.replay, device, seconds) / 10


def scaling(shape: Shape, seconds: float) -> dict[str, Any]:
    """The speedup of ``ls3d_conv3d`` by a second thread."""
    before, times = torch.get_num_threads(), {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        tensors = draw(shape, torch.channels_last_3d, torch.device("cpu"))
        forward, both = implementations(shape, tensors, "channels_last")["ls3d"]
        device = torch.device("cpu")
        times[threads] = median(forward, device, seconds), median(both, device, seconds)
    torch.set_num_threads(before)
    ratios = [one / two for one, two in zip(times[1], times[2], strict=True)]
    return {"name": shape.name, "forward": round(ratios[0], 2), "both": round(ratios[1], 2)}


def bfloat16(shapes: Sequence[Shape], seconds: float, passes: int) -> dict[str, Any]:
    """The times in milliseconds of the forward pass of ``ls3d_conv3d`` in float32 and bfloat16, in turn.

    They are the least medians of some passes over all layers.
    """
    device, rows = torch.device("cpu"), {shape.name: dict[str, float]() for shape in shapes}
    for shape in [*shapes] * passes:
        runs = {}
        for dtype in (torch.float32, torch.bfloat16):
            tensors = draw(shape, torch.channels_last_3d, device, dtype)
            runs[str(dtype).removeprefix("torch.")] = implementations(shape, tensors, "channels_last")["ls3d"][0]
        rows[shape.name] = lower(in_turn(runs, device, 2 * seconds), rows[shape.name])
    ratios = {name: row["float32"] / row["bfloat16"] for name, row in rows.items()}
    return {
        "rows": [{"name": name} | row | {"ratio": round(ratios[name], 2)} for name, row in rows.items()],
        "geometric mean": round(statistics.geometric_mean(ratios.values()), 2),
    }


def reading(shape: Shape, seconds: float) -> dict[str, Any]:
    """What the forward pass of ``ls3d_conv3d`` spends on scattered reads: times in milliseconds of calls in turn.

    - ``random``: the offsets of the other parts;
    - ``uniform``: all offsets are 0.3, so that adjacent positions read adjacent pixels;
    - ``one tap's``: every tap has the same memory as offsets and masks, which then stay in a cache;
    - ``convolution``: the faster one of ``F.conv3d`` and oneDNN's.
    """
    device = torch.device("cpu")
    tensors = draw(shape, torch.channels_last_3d, device)
    input, offset, mask, weight, grad = tensors
    first = offset[:, :1].detach().clone(), mask[:, :1].detach().clone()
    variants = {
        "random": [offset, mask],
        "uniform": [torch.full_like(offset, 0.3), mask],
        "one tap's": [first[0].expand_as(offset), first[1].expand_as(mask)],
    }
    runs = {
        name: implementations(shape, [input, *pair, weight, grad], "channels_last")["ls3d"][0]
        for name, pair in variants.items()
    }
    plain = implementations(shape, tensors, "channels_last")
    row = in_turn(runs | {name: plain[name][0] for name in ("conv3d", "onednn")}, device, 3 * seconds)
    return {"name": shape.name} | {name: row[name] for name in variants} | {"convolution": fastest_convolution(row)}


MEMORY_SHAPE = Shape("memory", (1, 64, 7, 180, 320), (3, 3, 3), 64)


def peak_memory(direction: str, layout: str) -> float:
    """MiB that one call needs beyond its inputs and outputs, from the peak of the process (Linux)."""
    shape = MEMORY_SHAPE
    tensors = draw(shape, LAYOUTS[layout], torch.device("cpu"))
    small = draw(Shape("warm", (1, 64, 2, 8, 8), (3, 3, 3), 64), LAYOUTS[layout], torch.device("cpu"))
    for case, arguments in ((Shape("warm", (1, 64, 2, 8, 8), (3, 3, 3), 64), small), (shape, tensors)):
        forward, both = implementations(case, arguments, layout)["ls3d"]
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
        before = _status("VmRSS")
        (forward if direction == "forward" else both)()
        extra = _status("VmHWM") - before
    outputs = tensors[4].numel()
    if direction == "both":
        outputs += sum(tensor.numel() for tensor in tensors[:4])
    return extra / 1024 - outputs * 4 / 2**20


def _status(field: str) -> float:
    """A field of /proc/self/status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(field)).split()[1])


def memory() -> dict[str, float]:
    """The peak extra memory in MiB of both directions and layouts, each measured in a new process."""
    found = {}
    for direction in ("forward", "both"):
        for layout in LAYOUTS:
            command = [sys.executable, __file__, "--peak-memory", direction, layout]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[f"{direction}, {layout}"] = round(float(done.stdout), 1)
    return found


def gpu_memory(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """The peak memory in MiB beyond inputs and outputs, for the large layer on a GPU, with channels-last features."""
    shape, found = large(), {}
    tensors = draw(shape, torch.channels_last_3d, device, dtype)
    for direction, run in zip(
        ("forward", "both"), implementations(shape, tensors, "channels_last")["ls3d"], strict=True
    ):
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        outputs = tensors[4].numel() + (sum(t.numel() for t in tensors[:4]) if direction == "both" else 0)
        extra = torch.cuda.max_memory_allocated(device) - before - outputs * dtype.itemsize
        found[f"{direction}, channels_last"] = round(extra / 2**20, 1)
    return found


def measure_limits(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """The GPU's limits: the speed of a large matrix product, and of a large copy, with bytes read and written."""
    a, b = (torch.randn(8192, 8192, device=device, dtype=dtype) for _ in range(2))
    source = torch.randn(2**30, device=device, dtype=torch.bfloat16)
    target = torch.empty_like(source)
    return {
        "TFLOP/s": round(2e-9 * 8192**3 / median(lambda: a @ b, device, 1.0), 1),
        "GB/s": round(4e-6 * source.numel() / median(lambda: target.copy_(source), device, 1.0), 1),
    }


def roofline(shape: Shape, dtype: torch.dtype, limits: dict[str, float]) -> dict[str, float]:
    """The least time of a forward pass within the GPU's limits, if each tensor is read or written once."""
    n, c, *size = shape.input
    positions = n * math.prod(size)
    moved = dtype.itemsize * (
        positions * (c + 3 * shape.taps + shape.out_channels) + shape.taps * c * shape.out_channels
    )
    return {
        "gbyte": round(1e-9 * moved, 4),
        "roofline ms": round(max(shape.gflop / limits["TFLOP/s"], 1e-6 * moved / limits["GB/s"]), 4),
    }


def geometric_mean(values: list[float]) -> float:
    """The geometric mean, to three decimals."""
    return round(math.exp(statistics.fmean(math.log(value) for value in values)), 3)


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Ratios of times over the rows with one group and at least 32 channels; the convolution is the fastest one."""
    known = [row for row in rows if {"ls3d", "conv3d"} <= row["forward"].keys()]
    wide = [row for row in known if row["input"][1] >= 32 and row["groups"] == row["offset_groups"] == 1]
    if not wide:
        return {}
    found: dict[str, Any] = {}
    for direction in ("forward", "both"):
        ratios = {row["name"]: row[direction]["ls3d"] / fastest_convolution(row[direction]) for row in wide}
        found[direction] = {
            "ls3d / convolution, geometric mean": geometric_mean(list(ratios.values())),
            "ls3d / convolution, worst": round(max(ratios.values()), 3),
            "worst shape": max(ratios, key=lambda name: ratios[name]),
        }
        graphs = [row["graph"][direction] for row in wide if "graph" in row]
        if graphs:
            found[direction]["ls3d / F.conv3d as CUDA graphs, geometric mean"] = geometric_mean(
                [times["ls3d"] / times["conv3d"] for times in graphs]
            )
        for other in ("composition", "torchvision"):
            factors = [row[direction][other] / row[direction]["ls3d"] for row in wide if other in row[direction]]
            if factors:
                found[direction][f"{other} / ls3d, geometric mean"] = geometric_mean(factors)
    return found


def fastest_convolution(times: dict[str, float]) -> float:
    """The time of the fastest plain convolution among those that were measured."""
    return min(times[name] for name in ("conv3d", "onednn") if name in times)


def environment(device: torch.device) -> dict[str, Any]:
    """The hardware and software that the times depend on."""
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "kernel": library.instruction_set(),
    }
    if has_torchvision():
        found["torchvision"] = importlib.import_module("torchvision").__version__
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    fields = dict(line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line)
    values = {key.strip(): value.strip() for key, value in fields.items()}
    return f"{values.get('model name', 'unknown')} (family {values.get('cpu family')}, model {values.get('model')})"


PARTS = ("rows", "memory", "scaling", "bfloat16", "reading")


def arguments() -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--update", action="store_true", help="keep results of that file that this run doesn't measure")
    parser.add_argument("--part", action="append", choices=PARTS, help="measure only this part; may be repeated")
    parser.add_argument("--only", action="append", default=[], help="measure only this implementation; may be repeated")
    parser.add_argument("--match", default="", help="measure only layers whose name contains this")
    parser.add_argument(
        "--passes", type=int, default=1, help="measure all layers so many times and keep the least medians"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each median")
    parser.add_argument("--peak-memory", nargs=2, metavar=("DIRECTION", "LAYOUT"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure what the options select, and write the results."""
    options = arguments()
    if options.peak_memory:
        print(peak_memory(*options.peak_memory))
        return
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    limits = measure_limits(device, dtype) if device.type == "cuda" else None
    parts = options.part or (PARTS if device.type == "cpu" and not options.match else PARTS[:1])
    results = read_results(options.json) if options.update else {"environment": {}, "rows": []}
    results["environment"] = environment(device) | {"dtype": options.dtype}
    known = [*shapes(), large()] if limits else shapes()
    for number in range(options.passes if "rows" in parts else 0):
        for shape in [shape for shape in known if options.match in shape.name]:
            only = options.only or (COMPARED if number else ())
            row = measure(shape, device, options.seconds, only, dtype)
            row |= roofline(shape, dtype, limits) if limits else {}
            if number:
                row = least(row, next(earlier for earlier in results["rows"] if earlier["name"] == shape.name))
            print(shape.name, row["forward"], row["both"], flush=True)
            results["rows"] = merged(results["rows"], row, known)
            results["summary"] = summarize(results["rows"])
            write(results, options.json)
    if limits:
        results |= {"limits": limits, "peak extra MiB": gpu_memory(device, dtype)}
    if "memory" in parts:
        results["peak extra MiB"] = memory()
    if "scaling" in parts and (os.cpu_count() or 1) >= 2:
        results["scaling"] = [scaling(shape, options.seconds) for shape in shapes() if shape.gflop > 5]
    if "bfloat16" in parts:
        wide = [shape for shape in shapes() if shape.input[1] >= 64 and shape.groups == 1]
        results["bfloat16"] = bfloat16(wide, options.seconds, options.passes)
    if "reading" in parts:
        results["reading"] = [reading(shape, options.seconds) for shape in shapes() if options.match in shape.name]
    print(json.dumps({key: value for key, value in results.items() if key != "rows"}, indent=2))
    write(results, options.json)


def read_results(source: Path | None) -> dict[str, Any]:
    """The results of an earlier run."""
    if source is None or not source.exists():
        return {"environment": {}, "rows": []}
    results: dict[str, Any] = json.loads(source.read_text())
    return results


def least(row: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """A layer's row with the lower one of two times wherever both have one."""
    times = ("forward", "both", "layouts", "graph")
    return row | {key: lower(row[key], earlier[key]) for key in times if key in row}


def lower(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """The lower one of two times wherever both dictionaries have one, else the one that there is."""
    found: dict[str, Any] = a | b
    for key in a.keys() & b.keys():
        found[key] = lower(a[key], b[key]) if isinstance(a[key], dict) else min(a[key], b[key])
    return found


def merged(rows: list[dict[str, Any]], row: dict[str, Any], order: list[Shape]) -> list[dict[str, Any]]:
    """The rows with ``row`` added, or in place of a row with the same name, in the order of the layers."""
    names = [shape.name for shape in order]
    others = [other for other in rows if other["name"] != row["name"]]
    return sorted([*others, row], key=lambda one: names.index(one["name"]))


def write(results: dict[str, Any], target: Path | None) -> None:
    """Write the results so far, so that they are kept if the run is interrupted."""
    if target:
        target.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
