"""Residual blocks with learnable sampling."""

from __future__ import annotations

from torch import Tensor, nn

from ls3d.nn.conv import LS3DConv3d
from ls3d.nn.dense import Conv3d


class LS3DResBlock(nn.Module):
    """A 3D residual block whose first 3x3x3 convolution has learnable sampling (figure 2(a) of the LS3D paper).

    ``x + conv2(relu(conv1(x)))``, without normalization and without an activation after the sum.

    Args:
        channels: input and output channels.
        learnable_sampling: False for a plain first convolution (the baseline of tables 2 and 3).
        modulation: predict a mask value for each sample.

    Shape:
        Input and output ``(N, channels, T, H, W)``.
    """

    def __init__(self, channels: int, learnable_sampling: bool = True, modulation: bool = True) -> None:
        super().__init__()
        self.conv1: nn.Conv3d
        if learnable_sampling:
            self.conv1 = LS3DConv3d(channels, channels, 3, padding=1, modulation=modulation)
        else:
            self.conv1 = Conv3d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = Conv3d(channels, channels, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        residual: Tensor = self.conv2(self.relu(self.conv1(input)))
        return input + residual


class ResBlock2d(nn.Module):
    """A residual block on single frames: ``x + conv2(relu(conv1(x)))``, 3x3, without normalization.

    Args:
        channels: input and output channels.

    Shape:
        Input and output ``(N, channels, H, W)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        residual: Tensor = self.conv2(self.relu(self.conv1(input)))
        return input + residual
