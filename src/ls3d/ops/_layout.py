"""The memory layout that outputs and gradients take over from the tensors they belong to."""

from __future__ import annotations

import torch
from torch import Tensor


def memory_format(tensor: Tensor) -> torch.memory_format:
    """``channels_last_3d`` if the tensor has it and nothing else, as torch's own convolutions decide."""
    last = tensor.is_contiguous(memory_format=torch.channels_last_3d) and not tensor.is_contiguous()
    return torch.channels_last_3d if last else torch.contiguous_format
