"""Which backend serves a call: the fastest that supports it, else the reference."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor

from ls3d.ops._geometry import Geometry
from ls3d.ops.backends import reference

Gradients = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]

_FAST = {"cpu": "ls3d.ops.backends.cpu.backend", "cuda": "ls3d.ops.backends.triton.backend"}


class Backend(Protocol):
    """What a backend module offers."""

    def supports(self, geometry: Geometry, dtype: torch.dtype, device: torch.device) -> str | None:
        """Why it can't serve, in a sentence; None when it can."""

    def forward(
        self,
        input: Tensor,
        offset: Tensor,
        mask: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
    ) -> Tensor:
        """The output."""

    def backward(
        self,
        grad_output: Tensor,
        input: Tensor,
        offset: Tensor,
        mask: Tensor | None,
        weight: Tensor,
        geometry: Geometry,
        needs: Sequence[bool],
    ) -> Gradients:
        """Gradients of input, offset, mask and weight; None where ``needs`` says so."""


def choose(geometry: Geometry, dtype: torch.dtype, device: torch.device) -> Backend:
    """The backend for these sizes.

    Raises:
        ValueError: not even the reference supports them.
    """
    backend, why_not = explain(geometry, dtype, device)
    if backend is None:
        raise ValueError(why_not)
    if why_not is not None:
        _warn_once(why_not)
    return backend


@functools.cache
def _warn_once(why_not: str) -> None:
    warnings.warn(f"ls3d_conv3d runs on its slow reference path: {why_not}", RuntimeWarning, stacklevel=2)


def explain(geometry: Geometry, dtype: torch.dtype, device: torch.device) -> tuple[Backend | None, str | None]:
    """The backend for these sizes, and why it is not the device's fast one (None if it is)."""
    why_not: str | None = f"no fast kernel exists for {device.type} devices"
    if device.type in _FAST:
        fast = cast(Backend, importlib.import_module(_FAST[device.type]))
        why_not = fast.supports(geometry, dtype, device)
        if why_not is None:
            return fast, None
    refusal = reference.supports(geometry, dtype, device)
    return (None, refusal) if refusal else (cast(Backend, reference), why_not)
