"""Statistics of the offsets of learnable-sampling layers, to detect exploding offsets in training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ls3d.nn.conv import LS3DConv3d


@dataclass(frozen=True)
class OffsetStatistics:
    """Offsets of one layer in one forward pass.

    Attributes:
        mean: mean length of the offsets, in pixels.
        max: largest length, in pixels; NaN if any offset is NaN.
        outside: fraction of the samples that are zero because they are outside the frame.
    """

    mean: float
    max: float
    outside: float


@contextmanager
def offset_statistics(model: nn.Module) -> Iterator[dict[str, OffsetStatistics]]:
    """Collect statistics of every ``LS3DConv3d`` in each forward pass within the context.

    ``with offset_statistics(model) as statistics: model(clip)``

    Yields:
        The statistics of the latest forward pass, by the layer's qualified name.
    """
    found: dict[str, OffsetStatistics] = {}
    handles = [
        layer.register_forward_hook(_StatisticsHook(name, found))
        for name, layer in model.named_modules()
        if isinstance(layer, LS3DConv3d)
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@dataclass
class _StatisticsHook:
    """The forward hook of one layer."""

    name: str
    found: dict[str, OffsetStatistics]

    def __call__(self, layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        assert isinstance(layer, LS3DConv3d)
        input = inputs[0] if inputs[0].dim() == 5 else inputs[0].unsqueeze(0)
        with torch.no_grad():
            offset, _ = layer.predict(input)
            self.found[self.name] = measure(layer, input, offset)


def measure(layer: LS3DConv3d, input: Tensor, offset: Tensor) -> OffsetStatistics:
    """Statistics of the offsets that ``layer`` predicts for ``input``; shapes as in ``LS3DConv3d.predict``."""
    padded, padding = layer.pad(input)
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    taps = kernel[0] * kernel[1] * kernel[2]
    pairs = torch.unflatten(offset.float(), 1, (layer.offset_groups, taps, 2))
    lengths = torch.linalg.vector_norm(pairs, dim=3)
    inside = torch.ones_like(lengths, dtype=torch.bool)
    for axis in (1, 2):
        size, count = padded.shape[2 + axis], offset.shape[2 + axis]
        tap = torch.arange(taps, device=offset.device)
        tap = tap // kernel[2] % kernel[1] if axis == 1 else tap % kernel[2]
        grid = torch.arange(count, device=offset.device) * stride[axis] - padding[axis]
        regular = tap.view(-1, 1, 1, 1) * dilation[axis] + grid.view((-1, 1) if axis == 1 else (1, -1))
        position = pairs[:, :, :, axis - 1] + regular
        inside &= (position > -1) & (position < size)
    return OffsetStatistics(lengths.mean().item(), lengths.max().item(), 1 - inside.float().mean().item())
