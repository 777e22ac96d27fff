"""What serves the operator on this machine and why, and a test of it against the reference."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from ls3d.ops._geometry import Geometry
from ls3d.ops.backends import reference
from ls3d.ops.backends.choose import explain
from ls3d.ops.backends.cpu import library as _kernel

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Service:
    """Who serves one device and dtype.

    Attributes:
        device: ``"cpu"``, ``"cuda:0"``, ...
        dtype: of the features.
        backend: the module's name, such as ``"cpu"`` or ``"reference"``; None if nothing serves.
        why_not: why it isn't the device's fast backend; None if it is.
    """

    device: str
    dtype: torch.dtype
    backend: str | None
    why_not: str | None


@dataclass(frozen=True)
class Check:
    """One call of a backend compared with the reference.

    Attributes:
        name: what was called.
        error: largest difference of output and gradients, relative to the largest value of each.
        tolerance: what is allowed.
    """

    name: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance


def devices() -> list[torch.device]:
    """The devices that torch sees: the CPU, and every CUDA device."""
    return [torch.device("cpu"), *(torch.device("cuda", k) for k in range(torch.cuda.device_count()))]


def services() -> list[Service]:
    """Which backend serves a typical 3x3x3 call, for every device and dtype."""
    geometry = _geometry(64)
    found = []
    for device in devices():
        for dtype in _DTYPES:
            backend, why_not = explain(geometry, dtype, device)
            name = None if backend is None else str(getattr(backend, "__name__", backend)).rpartition(".")[2]
            found.append(Service(str(device), dtype, name, why_not))
    return found


def kernel() -> tuple[str | None, str | None]:
    """The instruction set that the compiled CPU kernel uses here, or why there is no kernel."""
    return _kernel.instruction_set(), _kernel.load()[1]


def self_test(seconds: float = 10.0) -> list[Check]:
    """Compare every device's backend with the reference, forward and backward, until the time is spent.

    The first round of sizes always runs; later rounds draw other random numbers.
    """
    checks: dict[str, Check] = {}
    start = time.monotonic()
    for seed in range(1000):
        for device in devices():
            for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-10), (torch.bfloat16, 3e-2)):
                for channels in (3, 16, 40):
                    name = f"{device} {str(dtype).removeprefix('torch.')}, {channels} channels"
                    error = _compare(device, dtype, channels, seed)
                    worst = max(error, checks[name].error) if name in checks else error
                    checks[name] = Check(name, worst, tolerance)
        if time.monotonic() - start > seconds:
            break
    return list(checks.values())


def _geometry(channels: int) -> Geometry:
    size = (3, 24, 28)
    shapes = (1, channels, *size), (1, 54, *size), (1, 27, *size), (channels, channels, 3, 3, 3), (channels,)
    return Geometry.of(*shapes, padding=1)


def _compare(device: torch.device, dtype: torch.dtype, channels: int, seed: int) -> float:
    geometry = _geometry(channels)
    backend, _ = explain(geometry, dtype, device)
    if backend is None:
        return float("inf")
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)

    size = geometry.in_size
    input, offset, mask = draw(1, channels, *size), 3 * draw(1, 54, *size), draw(1, 27, *size)
    weight, bias, grad = draw(channels, channels, 3, 3, 3), draw(channels), draw(1, channels, *size)
    arguments, needs = (input, offset, mask, weight), (True,) * 4
    ours: list[torch.Tensor | None] = [backend.forward(*arguments, bias, geometry)]
    ours += backend.backward(grad, *arguments, geometry, needs)
    truth: list[torch.Tensor | None] = [reference.forward(*arguments, bias, geometry)]
    truth += reference.backward(grad, *arguments, geometry, needs)
    return max(_difference(a, b) for a, b in zip(ours, truth, strict=True))


def _difference(ours: torch.Tensor | None, truth: torch.Tensor | None) -> float:
    if ours is None or truth is None:
        return 0.0 if ours is truth else float("inf")
    scale = truth.double().abs().max().clamp_min(1e-30)
    error = ((ours.double() - truth.double()).abs().max() / scale).item()
    return error if error == error else float("inf")
