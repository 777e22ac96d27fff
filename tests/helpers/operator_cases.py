"""Random arguments of ``ls3d_conv3d``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ls3d.ops._call import Call
from ls3d.ops._geometry import Interpolation

Triple = tuple[int, int, int]
Results = list[Tensor | None]
"""The output, then the gradients of input, offset, mask and weight."""


class Arguments(NamedTuple):
    """The tensors of a call."""

    input: Tensor
    offset: Tensor
    mask: Tensor | None
    weight: Tensor
    bias: Tensor | None

    def map(self, function: Callable[[Tensor], Tensor]) -> Arguments:
        """``function`` of each tensor."""
        return Arguments(
            function(self.input),
            function(self.offset),
            None if self.mask is None else function(self.mask),
            function(self.weight),
            None if self.bias is None else function(self.bias),
        )

    def to(self, dtype: torch.dtype) -> Arguments:
        """All tensors in another dtype."""
        return self.map(lambda tensor: tensor.to(dtype))

    def requiring_gradients(self) -> Arguments:
        """Leaves with the same values."""
        return self.map(lambda tensor: tensor.detach().requires_grad_())

    def channels_last(self) -> Arguments:
        """With a channels-last input."""
        return self._replace(input=self.input.contiguous(memory_format=torch.channels_last_3d))


@dataclass(frozen=True)
class Case:
    """Sizes of a call. There are ``channels`` in each of ``groups * offset_groups`` parts of the input.

    If it is ``depthwise``, each channel is a group; ``groups`` and ``out_channels`` have no effect.
    """

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
    interpolation: Interpolation = "bilinear"
    depthwise: bool = False

    @property
    def in_channels(self) -> int:
        """Channels of the input."""
        return self.channels * self.offset_groups * (1 if self.depthwise else self.groups)

    @property
    def all_groups(self) -> int:
        """Groups of the convolution."""
        return self.in_channels if self.depthwise else self.groups

    @property
    def sizes(self) -> tuple[Triple, Triple, Triple, int]:
        """The arguments that follow the tensors in a call of any convolution."""
        return self.stride, self.padding, self.dilation, self.all_groups

    @property
    def options(self) -> tuple[Triple, Triple, Triple, int, Interpolation]:
        """The arguments that follow the tensors in a call."""
        return *self.sizes, self.interpolation

    def draw(self, seed: int = 0, dtype: torch.dtype = torch.float64, spread: float = 2.0) -> Arguments:
        """Random tensors. Offsets have about ``spread`` pixels, and no integers, at which the gradient is one-sided."""
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        channels = self.in_channels
        out_channels = channels if self.depthwise else self.out_channels * self.groups
        taps = self.kernel[0] * self.kernel[1] * self.kernel[2]
        out_size = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        ]
        offset = normal(self.batch, 2 * taps * self.offset_groups, *out_size) * spread
        offset = offset.floor() + 0.1 + 0.8 * (offset - offset.floor())
        mask = normal(self.batch, taps * self.offset_groups, *out_size) if self.mask else None
        weight = normal(out_channels, channels // self.all_groups, *self.kernel)
        bias = normal(out_channels) if self.bias else None
        return Arguments(normal(self.batch, channels, *self.size), offset, mask, weight, bias).to(dtype)

    def call(self, arguments: Arguments) -> Call:
        """The call of a backend."""
        return Call.of(*arguments, *self.options)


CASES = {
    "usual": Case(),
    "no mask": Case(mask=False, bias=False),
    "groups": Case(groups=2, offset_groups=3, channels=2),
    "depthwise": Case(channels=5, size=(2, 5, 6), depthwise=True),
    "depthwise, offset groups": Case(channels=19, offset_groups=3, size=(2, 5, 6), stride=(1, 2, 1), depthwise=True),
    "depthwise, wide": Case(batch=1, channels=300, size=(2, 3, 4), mask=False, depthwise=True),
    "depthwise, bicubic": Case(channels=17, size=(2, 5, 6), bias=False, depthwise=True, interpolation="bicubic"),
    "depthwise, twice as many outputs": Case(groups=5, channels=1, out_channels=2, size=(2, 5, 6)),
    "uneven": Case(
        channels=5, size=(5, 9, 6), kernel=(2, 3, 1), stride=(2, 1, 3), padding=(0, 2, 1), dilation=(2, 1, 1)
    ),
    "one tap": Case(kernel=(1, 1, 1), padding=(0, 0, 0), channels=3),
    "one frame": Case(size=(1, 6, 7), kernel=(1, 3, 3), padding=(0, 1, 1)),
    "padding only": Case(size=(1, 4, 4), kernel=(1, 3, 3), padding=(2, 1, 1), batch=1),
    "images": Case(channels=3, out_channels=3, size=(2, 9, 8), kernel=(2, 3, 3), padding=(0, 1, 1)),
    "bicubic": Case(interpolation="bicubic"),
    "bicubic groups": Case(groups=2, offset_groups=3, channels=2, mask=False, interpolation="bicubic"),
    "bicubic uneven": Case(
        channels=18, size=(3, 1, 6), kernel=(2, 2, 1), stride=(2, 1, 2), padding=(0, 2, 1), interpolation="bicubic"
    ),
}


def assert_close(ours: Results, expected: Results, tolerance: float) -> None:
    """Every difference is within ``tolerance``, relative to the largest value of its tensor."""
    names = ("output", "grad_input", "grad_offset", "grad_mask", "grad_weight")
    for name, a, b in zip(names[: len(expected)], ours, expected, strict=True):
        assert (a is None) == (b is None), name
        if a is None or b is None:
            continue
        assert a.shape == b.shape, name
        if b.numel():
            error = (a.double().cpu() - b.double().cpu()).abs().max() / b.double().cpu().abs().max().clamp_min(1e-30)
            assert error <= tolerance, f"{name}: {error:.2e}"
