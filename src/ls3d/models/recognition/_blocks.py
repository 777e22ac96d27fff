"""Parts of the residual networks for clips: convolutions, shortcuts, residual blocks, stems, pools.

Parameter names are torchvision's (``stem.0``, ``layer1.0.conv1.0``), so that its checkpoints, VMZ's and ig65m's need no
renaming.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.errors import InputError
from ls3d.nn import Conv3d

Stride = tuple[int, int, int]
Midplanes = Literal["vmz", "torchvision"]
Shortcut = Literal["projection", "zero_padding"]
Pool = Literal["none", "spatial", "spatiotemporal"]

#: Makes a normalization of a number of channels.
NormMaker = Callable[[int], nn.Module]

#: Makes a convolution of a block from its input channels, its output channels, its stride, the maker of its
#: normalizations and the input channels of the block.
ConvMaker = Callable[[int, int, Stride, NormMaker, int], nn.Module]


def batch_norm(eps: float) -> NormMaker:
    """Return a maker of 3D batch normalizations. Caffe2's momentum of 0.9 is PyTorch's default of 0.1."""
    return partial(nn.BatchNorm3d, eps=eps)


def conv3d(in_channels: int, out_channels: int, stride: Stride, norm: NormMaker, block_channels: int = 0) -> nn.Module:
    """Make a 3x3x3 convolution."""
    return Conv3d(in_channels, out_channels, 3, stride, padding=1, bias=False)


def conv2d(in_channels: int, out_channels: int, stride: Stride, norm: NormMaker, block_channels: int = 0) -> nn.Module:
    """Make a 1x3x3 convolution: frame by frame."""
    return Conv3d(in_channels, out_channels, (1, 3, 3), stride, padding=(0, 1, 1), bias=False)


def depthwise(
    in_channels: int, out_channels: int, stride: Stride, norm: NormMaker, block_channels: int = 0
) -> nn.Module:
    """Make a depthwise 3x3x3 convolution: the interaction-reduced convolution of CSN."""
    return Conv3d(in_channels, out_channels, 3, stride, padding=1, groups=in_channels, bias=False)


def pointwise_depthwise(
    in_channels: int, out_channels: int, stride: Stride, norm: NormMaker, block_channels: int = 0
) -> nn.Module:
    """Make 1x1x1, normalization, no ReLU, depthwise 3x3x3: the interaction-preserved convolution of CSN."""
    pointwise = Conv3d(in_channels, out_channels, 1, bias=False)
    return nn.Sequential(pointwise, norm(out_channels), depthwise(out_channels, out_channels, stride, norm))


def conv2plus1d(
    in_channels: int, out_channels: int, stride: Stride, norm: NormMaker, block_channels: int, *, midplanes: Midplanes
) -> nn.Module:
    """Make 1x3x3, normalization, ReLU, 3x1x1: section 3.5 of arXiv:1711.11248."""
    middle = factorized_width(block_channels if midplanes == "torchvision" else in_channels, out_channels)
    return nn.Sequential(
        Conv3d(in_channels, middle, (1, 3, 3), (1, *stride[1:]), padding=(0, 1, 1), bias=False),
        norm(middle),
        nn.ReLU(inplace=True),
        Conv3d(middle, out_channels, (3, 1, 1), (stride[0], 1, 1), padding=(1, 0, 0), bias=False),
    )


def factorized_width(in_channels: int, out_channels: int) -> int:
    """Return the width M that keeps the parameters of 3x3x3 from N' to N: 27 N' N / (9 N' + 3 N), rounded down.

    VMZ takes N' from the convolution, torchvision from the block that contains it: 288 and 230 in the second
    convolution of ``layer2.0``, for example. Checkpoints of one don't fit the other.
    """
    return 27 * in_channels * out_channels // (9 * in_channels + 3 * out_channels)


class ZeroPaddedShortcut(nn.Module):
    """Subsample and append zero channels: shortcut type A of arXiv:1512.03385, without parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: Stride) -> None:
        super().__init__()
        self.stride = stride
        self.extra_channels = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, T, H, W)`` to ``(N, out_channels, T / sT, H / sH, W / sW)``, rounded up."""
        t, h, w = self.stride
        return F.pad(x[:, :, ::t, ::h, ::w], (0, 0, 0, 0, 0, 0, 0, self.extra_channels))


def make_shortcut(
    in_channels: int, out_channels: int, stride: Stride, norm: NormMaker, kind: Shortcut
) -> nn.Module | None:
    """Make the layer that maps a block's input to the shape of its output; None where the shapes are equal.

    Raises:
        InputError: there is no such kind.
    """
    if in_channels == out_channels and stride == (1, 1, 1):
        return None
    if kind == "zero_padding":
        return ZeroPaddedShortcut(in_channels, out_channels, stride)
    if kind == "projection":
        return project(in_channels, out_channels, stride, norm)
    raise InputError(f"shortcut is {kind!r}, expected 'projection' or 'zero_padding'")


def project(in_channels: int, out_channels: int, stride: Stride, norm: NormMaker) -> nn.Module:
    """Make a 1x1x1 convolution with normalization."""
    return nn.Sequential(Conv3d(in_channels, out_channels, 1, stride, bias=False), norm(out_channels))


class BasicBlock(nn.Module):
    """Two convolutions plus a shortcut; the first convolution has the stride.

    Args:
        in_channels: channels of the input.
        width: channels of the output.
        stride: of the first convolution and of the shortcut.
        make_conv: makes the convolutions.
        norm: makes the normalizations.
        downsample: the shortcut; None for the identity.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: Stride,
        make_conv: ConvMaker,
        norm: NormMaker,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        first = make_conv(in_channels, width, stride, norm, in_channels)
        second = make_conv(width, width, (1, 1, 1), norm, in_channels)
        self.conv1 = nn.Sequential(first, norm(width), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(second, norm(width))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, T, H, W)`` to ``(N, width, T', H', W')``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        output: Tensor = self.relu(self.conv2(self.conv1(x)) + shortcut)
        return output


class Bottleneck(nn.Module):
    """Reduce channels, convolve, expand channels, plus a shortcut; the middle convolution has the stride.

    Args:
        in_channels: channels of the input.
        width: channels inside; the output has four times as many.
        stride: of the middle convolution and of the shortcut.
        make_conv: makes the middle convolution.
        norm: makes the normalizations.
        downsample: the shortcut; None for the identity.
        first_kernel: temporal extent of the first convolution: 3 where I3D inflates it.
        non_local: follows the last ReLU.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: Stride,
        make_conv: ConvMaker,
        norm: NormMaker,
        downsample: nn.Module | None = None,
        first_kernel: int = 1,
        non_local: nn.Module | None = None,
    ) -> None:
        super().__init__()
        out_channels = width * self.expansion
        kernel = (first_kernel, 1, 1)
        first = Conv3d(in_channels, width, kernel, padding=(first_kernel // 2, 0, 0), bias=False)
        middle = make_conv(width, width, stride, norm, in_channels)
        self.conv1 = nn.Sequential(first, norm(width), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(middle, norm(width), nn.ReLU(inplace=True))
        self.conv3 = nn.Sequential(Conv3d(width, out_channels, 1, bias=False), norm(out_channels))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.non_local = non_local

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, T, H, W)`` to ``(N, 4 * width, T', H', W')``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        output: Tensor = self.relu(self.conv3(self.conv2(self.conv1(x))) + shortcut)
        return output if self.non_local is None else self.non_local(output)


def zero_last_scale(block: Bottleneck) -> None:
    """Initialize a bottleneck as its shortcut: the scale of its last normalization is 0 (arXiv:1706.02677, 5.1)."""
    last = block.conv3[1]
    assert isinstance(last, nn.BatchNorm3d)
    nn.init.zeros_(last.weight)


def block_class(depth: int) -> type[BasicBlock] | type[Bottleneck]:
    """Return the kind of block of a network: bottlenecks from 50 layers on."""
    return Bottleneck if depth >= 50 else BasicBlock


def stem3d(
    in_channels: int,
    kernel: int,
    norm: NormMaker,
    width: int = 64,
    temporal_stride: int = 1,
    temporal_padding: int | None = None,
) -> nn.Sequential:
    """Make a stem of one ``kernel`` x7x7 convolution to ``width`` channels at half the height and width.

    Args:
        in_channels: channels of the clip.
        kernel: temporal extent.
        norm: makes the normalization.
        width: channels of its output.
        temporal_stride: stride over time.
        temporal_padding: frames of padding at either end; None keeps the length at a temporal stride of 1.
    """
    padding = (kernel // 2 if temporal_padding is None else temporal_padding, 3, 3)
    conv = Conv3d(in_channels, width, (kernel, 7, 7), (temporal_stride, 2, 2), padding, bias=False)
    return nn.Sequential(conv, norm(width), nn.ReLU(inplace=True))


def stem2plus1d(in_channels: int, kernel: int, norm: NormMaker, width: int, *, middle: int) -> nn.Sequential:
    """Make a stem of 1x7x7 to ``middle`` channels, then ``kernel`` x1x1 to ``width``, at half the height and width.

    To 64 channels, VMZ and torchvision have 45 in the middle, 3D-ResNets 110; ``factorized_width`` would be 83.
    """
    return nn.Sequential(
        Conv3d(in_channels, middle, (1, 7, 7), (1, 2, 2), padding=(0, 3, 3), bias=False),
        norm(middle),
        nn.ReLU(inplace=True),
        Conv3d(middle, width, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=False),
        norm(width),
        nn.ReLU(inplace=True),
    )


def make_pool(kind: Pool) -> nn.Module:
    """Make the max-pool after the stem.

    Raises:
        InputError: there is no such kind.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "spatial":
        return nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1))
    if kind == "spatiotemporal":
        return nn.MaxPool3d(3, 2, padding=1)
    raise InputError(f"pool1 is {kind!r}, expected 'none', 'spatial' or 'spatiotemporal'")
