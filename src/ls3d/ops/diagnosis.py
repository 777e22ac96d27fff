"""Which backends run the operator on this machine and why, and a test of them against the reference."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from ls3d.errors import InputError
from ls3d.ops._call import Call
from ls3d.ops._geometry import Interpolation
from ls3d.ops.backends import reference
from ls3d.ops.backends.choose import BackendName, explain, load
from ls3d.ops.backends.cpu import library

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_SIZES: tuple[tuple[int, Interpolation], ...] = ((3, "bilinear"), (16, "bilinear"), (40, "bilinear"), (40, "bicubic"))
_TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-10, torch.bfloat16: 3e-2}


@dataclass(frozen=True)
class BackendChoice:
    """The backend for one device and dtype, when :func:`ls3d.ops.use_backend` requests none.

    Attributes:
        device: ``"cpu"``, ``"cuda:0"``, ...
        dtype: of the features.
        backend: its name, or None if no backend supports these.
        why_not: why it isn't the device's kernel; None if it is.
    """

    device: str
    dtype: torch.dtype
    backend: BackendName | None
    why_not: str | None


@dataclass(frozen=True)
class Check:
    """One call of a backend compared with the reference.

    Attributes:
        name: device, dtype, number of channels and interpolation.
        error: the largest difference of output and gradients, relative to the largest value of each.
        tolerance: the largest error that passes.
    """

    name: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.error <= self.tolerance


def devices() -> list[torch.device]:
    """The devices that torch sees: the CPU, and every CUDA device."""
    return [torch.device("cpu"), *(torch.device("cuda", k) for k in range(torch.cuda.device_count()))]


def backend_choices() -> list[BackendChoice]:
    """The backend that runs a typical 3x3x3 call, for each device and dtype."""
    geometry = _random_call(torch.device("meta"), torch.float32, 64, 0).geometry
    return [
        BackendChoice(str(device), dtype, *explain(geometry, dtype, device))
        for device in devices()
        for dtype in _DTYPES
    ]


def cpu_kernel() -> tuple[str | None, str | None]:
    """The instruction set that the compiled CPU kernel uses here, or why there is no kernel."""
    return library.instruction_set(), library.load()[1]


def kernel_build_problem() -> str:
    """Why the compiled CPU kernel uses one thread only; empty if it doesn't."""
    return library.build_problem()


def self_test(seconds: float = 10.0) -> list[Check]:
    """Compare every device's backend with the reference, forward and backward, for about so many seconds.

    The first round of all devices, dtypes and sizes is always completed; later rounds use other random numbers.

    Raises:
        InputError: ``seconds`` is less than 0.
    """
    if not seconds >= 0:
        raise InputError(f"{seconds:g}: expected 0 or more", argument="seconds")
    checks: dict[str, Check] = {}
    start = time.monotonic()
    for seed in range(1000):
        for device in devices():
            for dtype, tolerance in _TOLERANCES.items():
                for channels, interpolation in _SIZES:
                    name = f"{device} {str(dtype).removeprefix('torch.')}, {channels} channels, {interpolation}"
                    error = _compare(_random_call(device, dtype, channels, seed, interpolation), seed)
                    worst = max(error, checks[name].error) if name in checks else error
                    checks[name] = Check(name, worst, tolerance)
        if time.monotonic() - start > seconds:
            break
    return list(checks.values())


def _random_call(
    device: torch.device, dtype: torch.dtype, channels: int, seed: int, interpolation: Interpolation = "bilinear"
) -> Call:
    """A 3x3x3 call with padding 1 on ``(1, channels, 3, 24, 28)``; offsets have a deviation of 3 pixels."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)

    size = (3, 24, 28)
    input, offset, mask = normal(1, channels, *size), 3 * normal(1, 54, *size), normal(1, 27, *size)
    weight, bias = normal(channels, channels, 3, 3, 3), normal(channels)
    return Call.of(input, offset, mask, weight, bias, 1, 1, 1, 1, interpolation)


def _compare(call: Call, seed: int) -> float:
    """The error of the backend that runs the call; infinity if there is none."""
    name, _ = explain(call.geometry, call.input.dtype, call.input.device)
    if name is None:
        return math.inf
    backend, needs = load(name), (True,) * 4
    generator = torch.Generator().manual_seed(seed + 1)
    grad = torch.randn(call.geometry.out_shape, generator=generator, dtype=torch.float64).to(call.input)
    ours = (backend.forward(call), *backend.backward(call, grad, needs))
    expected = (reference.forward(call), *reference.backward(call, grad, needs))
    return max(_difference(a, b) for a, b in zip(ours, expected, strict=True))


def _difference(ours: Tensor | None, expected: Tensor | None) -> float:
    if ours is None or expected is None:
        return 0.0 if ours is expected else math.inf
    scale = expected.double().abs().max().clamp_min(1e-30)
    error = ((ours.double() - expected.double()).abs().max() / scale).item()
    return math.inf if math.isnan(error) else error
