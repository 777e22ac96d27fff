"""The memory format of a network's weights."""

from __future__ import annotations

import torch
from torch import nn


def make_channels_last(network: nn.Module) -> None:
    """Keep the weights of 2D and 3D convolutions channels-last; ``Module.to`` can do only one of the two."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        if parameter.dim() in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.dim()])
