"""Measuring how much memory a network needs, to choose tiles that fit."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ls3d._torch_internals import storage_id
from ls3d.errors import InputError


class _MemoryMeter(TorchDispatchMode):
    """Counts the bytes of the tensors that operators allocate, as long as they are referenced."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.allocated: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._watch(leaf.untyped_storage())
        return result

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key = storage_id(storage)
        if key not in self.allocated:
            self.allocated[key] = storage.nbytes()
            weakref.finalize(storage, self.allocated.pop, key, None)
            self.peak = max(self.peak, sum(self.allocated.values()))


def peak_bytes(forward: Callable[[Tensor], Tensor], sample: Tensor) -> int:
    """Peak memory of all tensors while ``forward(sample)`` runs, in bytes, including the sample."""
    meter = _MemoryMeter()
    with meter:
        forward(sample)
    return meter.peak + int(sample.untyped_storage().nbytes())


def peak_growth(forward: Callable[[Tensor], Tensor], sample: Tensor) -> int:
    """How far the memory of the process grows while ``forward(sample)`` runs, in bytes, including the sample.

    Raises:
        InputError: the system doesn't say.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = _resident("VmRSS")
        forward(sample)
        peak = _resident("VmHWM")
    except OSError as error:
        message = "the memory that an exported network needs can't be measured on this system; expected a size of tiles"
        raise InputError(message, argument="max_memory") from error
    return max(peak - before, 0) + int(sample.untyped_storage().nbytes())


def _resident(field: str) -> int:
    """A field of the process's status that is in kB, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field))


def largest_tile(
    forward: Callable[[Tensor], Tensor],
    sample: Tensor,
    budget: int,
    measure: Callable[[Callable[[Tensor], Tensor], Tensor], int] = peak_bytes,
) -> int:
    """Side in pixels of the largest square tile for which ``forward`` needs at most ``budget`` bytes.

    Args:
        forward: runs the network; the memory it needs is assumed to be proportional to the number of pixels.
        sample: a small input, ``(N, C, T, h, w)``.
        budget: in bytes.
        measure: returns the memory that ``forward(sample)`` needs, in bytes.
    """
    per_pixel = measure(forward, sample) / (sample.shape[-2] * sample.shape[-1])
    return int(math.sqrt(budget / per_pixel))
