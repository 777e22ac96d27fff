"""How much memory a network needs, measured, so that tiles can be chosen that fit."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Meter(TorchDispatchMode):
    """Counts the bytes of living tensors that operators make."""

    def __init__(self) -> None:
        super().__init__()
        self.living: dict[int, int] = {}
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
        key = storage._cdata
        if key not in self.living:
            self.living[key] = storage.nbytes()
            weakref.finalize(storage, self.living.pop, key, None)
            self.peak = max(self.peak, sum(self.living.values()))


def peak_bytes(forward: Callable[[Tensor], Tensor], sample: Tensor) -> int:
    """The most memory that tensors take at once while ``forward(sample)`` runs, the sample included."""
    with _Meter() as meter:
        forward(sample)
    return meter.peak + sample.untyped_storage().nbytes()


def largest_tile(forward: Callable[[Tensor], Tensor], sample: Tensor, budget: int) -> int:
    """The side of the largest square tile whose run takes at most ``budget`` bytes.

    Args:
        forward: the network.
        sample: a small input, ``(N, C, T, h, w)``.
        budget: bytes.
    """
    per_pixel = peak_bytes(forward, sample) / (sample.shape[-2] * sample.shape[-1])
    return int((budget / per_pixel) ** 0.5)
