"""Random arguments of ``ls3d_conv3d`` for tests."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ls3d.ops._geometry import Geometry

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Case:
    """Sizes of a call; ``channels`` are those of one of ``lcm(groups, offset_groups)`` runs."""

    batch: int = 2
    channels: int = 4
    out_channels: int = 3
    size: Triple = (3, 7, 8)
    kernel: Triple = (3, 3, 3)
    stride: Triple = (1, 1, 1)
    padding: Triple = (1, 1, 1)
    dilation: Triple = (1, 1, 1)
    groups: int = 1
    offset_groups: int = 1
    mask: bool = True
    bias: bool = True

    @property
    def sizes(self) -> tuple[Triple, Triple, Triple, int]:
        """What follows the tensors in a call."""
        return self.stride, self.padding, self.dilation, self.groups

    def draw(self, seed: int = 0, dtype: torch.dtype = torch.float64, spread: float = 2.0) -> list[Tensor | None]:
        """Input, offset, mask, weight and bias; offsets keep away from integers, where the gradient has a kink."""
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        channels, out_channels = self.channels * self.groups * self.offset_groups, self.out_channels * self.groups
        taps = self.kernel[0] * self.kernel[1] * self.kernel[2]
        out_size = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        ]
        offset = normal(self.batch, 2 * taps * self.offset_groups, *out_size) * spread
        offset = offset.floor() + 0.1 + 0.8 * (offset - offset.floor())
        mask = normal(self.batch, taps * self.offset_groups, *out_size) if self.mask else None
        weight = normal(out_channels, channels // self.groups, *self.kernel)
        bias = normal(out_channels) if self.bias else None
        tensors = (normal(self.batch, channels, *self.size), offset, mask, weight, bias)
        return [None if tensor is None else tensor.to(dtype) for tensor in tensors]

    def geometry(self, tensors: list[Tensor | None]) -> Geometry:
        """The geometry of drawn tensors."""
        shapes = [None if tensor is None else tensor.shape for tensor in tensors]
        return Geometry.of(*shapes, *self.sizes)  # type: ignore[arg-type]


CASES = {
    "usual": Case(),
    "no mask": Case(mask=False, bias=False),
    "groups": Case(groups=2, offset_groups=3, channels=2),
    "depthwise": Case(groups=5, channels=1, out_channels=1, size=(2, 5, 6)),
    "uneven": Case(
        channels=5, size=(5, 9, 6), kernel=(2, 3, 1), stride=(2, 1, 3), padding=(0, 2, 1), dilation=(2, 1, 1)
    ),
    "one tap": Case(kernel=(1, 1, 1), padding=(0, 0, 0), channels=3),
    "one frame": Case(size=(1, 6, 7), kernel=(1, 3, 3), padding=(0, 1, 1)),
    "padding only": Case(size=(1, 4, 4), kernel=(1, 3, 3), padding=(2, 1, 1), batch=1),
    "pictures": Case(channels=3, out_channels=3, size=(2, 9, 8), kernel=(2, 3, 3), padding=(0, 1, 1)),
}
