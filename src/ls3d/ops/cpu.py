"""CPU backend."""

from __future__ import annotations

import torch

from ls3d.ops._geometry import Geometry
from ls3d.ops.reference import backward, forward

__all__ = ["backward", "forward", "supports"]


def supports(geometry: Geometry, dtype: torch.dtype, device: torch.device) -> str | None:
    """Why it can't serve."""
    return "the kernel is not built"
