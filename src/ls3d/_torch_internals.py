"""The private parts of torch that ls3d uses, in one place; ``tests/test_torch_internals.py`` checks that they exist."""

from __future__ import annotations

import torch
from torch import nn

ConvNd = nn.modules.conv._ConvNd
"""The base class of all convolutions, ``nn.Conv1d`` to ``nn.ConvTranspose3d``."""


def are_functorch_transforms_active() -> bool:
    """Whether the caller runs under a transform of ``torch.func``, such as ``grad`` or ``vmap``."""
    return torch._C._are_functorch_transforms_active()


def reversed_padding(conv: ConvNd) -> list[int]:
    """The padding of a convolution as ``torch.nn.functional.pad`` takes it: (before, after), last dimension first."""
    return list(conv._reversed_padding_repeated_twice)


def storage_id(storage: torch.UntypedStorage) -> int:
    """A number that identifies a storage while it exists, on the meta device too, where all data pointers are 0."""
    return int(storage._cdata)
