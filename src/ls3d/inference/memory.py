"""Measuring how much memory a network needs, to choose tiles that fit."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ls3d._torch_internals import storage_id


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


def largest_tile(forward: Callable[[Tensor], Tensor], sample: Tensor, budget: int) -> int:
    """Side in pixels of the largest square tile for which ``forward`` needs at most ``budget`` bytes.

    Args:
        forward: runs the network; the memory it needs is assumed to be proportional to the number of pixels.
        sample: a small input, ``(N, C, T, h, w)``.
        budget: in bytes.
    """
    per_pixel = peak_bytes(forward, sample) / (sample.shape[-2] * sample.shape[-1])
    return int(math.sqrt(budget / per_pixel))
