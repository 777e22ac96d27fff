"""Which backend runs a call: the one that :func:`use_backend` requests, else the fastest that supports the call.

With the level ``DEBUG``, the logger ``ls3d.ops.backends.choose`` reports each choice and its reasons, once for all
calls of the same sizes, dtype and device.
"""

from __future__ import annotations

import functools
import importlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol, cast, get_args

import torch
from torch import Tensor

from ls3d.ops._call import Call, Gradients
from ls3d.ops._geometry import Geometry

BackendName = Literal["reference", "cpu", "triton"]

_MODULES: dict[BackendName, str] = {
    "reference": "ls3d.ops.backends.reference",
    "cpu": "ls3d.ops.backends.cpu.backend",
    "triton": "ls3d.ops.backends.triton.backend",
}
_KERNELS: dict[str, BackendName] = {"cpu": "cpu", "cuda": "triton"}
"""The kernel of each type of device."""

_requested: ContextVar[BackendName | None] = ContextVar("ls3d.ops.use_backend", default=None)
_log = logging.getLogger(__name__)


class Backend(Protocol):
    """The functions of a backend's module."""

    def supports(self, geometry: Geometry, dtype: torch.dtype, device: torch.device) -> str | None:
        """Why the backend can't run calls of these sizes, as a clause without a full stop; None if it can."""

    def forward(self, call: Call) -> Tensor:
        """The output ``(N, O, T_out, H_out, W_out)`` in the input's dtype."""

    def backward(self, call: Call, grad_output: Tensor, needs: Sequence[bool]) -> Gradients:
        """Gradients of input, offset, mask and weight where ``needs`` is true.

        Args:
            call: the arguments of the forward pass; its bias isn't used.
            grad_output: ``(N, O, T_out, H_out, W_out)``, any strides.
            needs: four flags: input, offset, mask, weight.
        """


@contextmanager
def use_backend(name: BackendName) -> Iterator[None]:
    """Run all calls of ``ls3d_conv3d``, ``deform_conv2d`` and ``bilateral_motion`` in the block on one backend.

    ``with use_backend("reference"): output = model(clip)``

    The setting applies to the current thread or asyncio task. The backward pass of a call uses the setting that its
    forward pass had, wherever ``backward()`` is called. There are two exceptions, in which the setting at the time of
    the computation applies: both passes of a graph that ``torch.compile`` made, and forward passes that activation
    checkpointing repeats. If autograd uses a thread of its own, as for GPUs, there is no setting in these cases.

    Args:
        name: ``"reference"`` (plain torch, any device), ``"cpu"`` (the C++ kernel) or ``"triton"`` (CUDA devices).

    Raises:
        ValueError: there is no backend of that name. A call in the block raises it if the backend can't run the call;
            the message says why.
    """
    if name not in _MODULES:
        raise ValueError(f"backend is {name!r}, expected one of {', '.join(get_args(BackendName))}")
    with request_backend(name):
        yield


@contextmanager
def request_backend(name: BackendName | None) -> Iterator[None]:
    """Like :func:`use_backend`; None stands for the automatic choice."""
    token = _requested.set(name)
    try:
        yield
    finally:
        _requested.reset(token)


def requested_backend() -> BackendName | None:
    """The backend that :func:`use_backend` requests here; None if the choice is automatic."""
    return _requested.get()


def choose(geometry: Geometry, dtype: torch.dtype, device: torch.device) -> Backend:
    """The backend that runs a call.

    Raises:
        ValueError: the requested backend can't run the call, or no backend can.
    """
    requested = _requested.get()
    name, why_not = requested, None
    if requested is not None:
        refusal = load(requested).supports(geometry, dtype, device)
        if refusal is not None:
            raise ValueError(f"backend {requested!r} can't run this call: {refusal}")
    else:
        name, why_not = explain(geometry, dtype, device)
    if name is None:
        raise ValueError(why_not)
    if why_not is not None:
        warn_of_fallback("ls3d_conv3d", why_not)
    if _log.isEnabledFor(logging.DEBUG):
        _log_once(name, requested is not None, geometry, dtype, device)
    return load(name)


def explain(
    geometry: Geometry, dtype: torch.dtype, device: torch.device
) -> tuple[BackendName, str | None] | tuple[None, str]:
    """The automatic choice, and why it isn't the device's kernel (None if it is).

    The choice is None, and the reason that of the reference, if no backend can run the call.
    """
    kernel = kernel_of(device)
    if kernel is None:
        why_not = f"there is no kernel for {device.type} devices"
    else:
        refusal = load(kernel).supports(geometry, dtype, device)
        if refusal is None:
            return kernel, None
        why_not = refusal
    refusal = load("reference").supports(geometry, dtype, device)
    return ("reference", why_not) if refusal is None else (None, refusal)


def kernel_of(device: torch.device) -> BackendName | None:
    """The kernel for this type of device; None if there is none."""
    return _KERNELS.get(device.type)


@functools.cache
def load(name: BackendName) -> Backend:
    """The module of a backend; it is imported on first use."""
    return cast(Backend, importlib.import_module(_MODULES[name]))


@functools.cache
def warn_of_fallback(operator: str, why_not: str) -> None:
    """Warn, once for each operator and reason, that it doesn't run on the device's kernel."""
    message = f"{operator} falls back to the slow reference implementation: {why_not}"
    warnings.warn(message, RuntimeWarning, stacklevel=2)


@functools.lru_cache(maxsize=1024)
def _log_once(name: BackendName, requested: bool, geometry: Geometry, dtype: torch.dtype, device: torch.device) -> None:
    """Log a choice when it is made for these sizes for the first time."""
    reasons = []
    for other in _MODULES:
        if other != name:
            slower = "not requested" if requested else "slower"
            reasons.append(f"not {other}: {load(other).supports(geometry, dtype, device) or slower}")
    how = "requested" if requested else "chosen"
    _log.debug("%s, %s on %s: backend %s %s; %s", geometry, dtype, device, name, how, "; ".join(reasons))
