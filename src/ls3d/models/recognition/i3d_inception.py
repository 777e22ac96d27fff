"""Inception-I3D: the 2D network Inception-v1 with batch normalization, inflated to clips (arXiv:1705.07750).

Layers are named and padded as in DeepMind's kinetics-i3d (i3d.py). "SAME" padding of TensorFlow depends on the size of
the input: where the total is odd, the end gets one more than the beginning, which no padding of ``torch.nn.Conv3d``
expresses. The normalizations have a shift but no scale.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.models.metadata import I3D, kinetics
from ls3d.models.network import RecognitionTraits
from ls3d.models.recognition._base import RecognitionArguments, RecognitionNet, make_classifier
from ls3d.models.recognition._learnable import Learnable, make_learnable
from ls3d.models.recognition._resnet3d import init_residual
from ls3d.models.registry import register_model
from ls3d.nn import Conv3d

_BN_EPS = 1e-3
_FEATURES = 1024

Size = tuple[int, int, int]


class Widths(NamedTuple):
    """Output channels of the convolutions of an Inception module.

    Attributes:
        point: the 1x1x1 convolution of the first branch.
        reduce_wide: the 1x1x1 convolution before ``wide``.
        wide: the 3x3x3 convolution of the second branch.
        reduce_narrow: the 1x1x1 convolution before ``narrow``.
        narrow: the 3x3x3 convolution of the third branch.
        pooled: the 1x1x1 convolution after the max-pool of the fourth branch.
    """

    point: int
    reduce_wide: int
    wide: int
    reduce_narrow: int
    narrow: int
    pooled: int

    @property
    def total(self) -> int:
        """Output channels of the module."""
        return self.point + self.wide + self.narrow + self.pooled


#: The Inception modules, in order.
MODULES = {
    "mixed_3b": Widths(64, 96, 128, 16, 32, 32),
    "mixed_3c": Widths(128, 128, 192, 32, 96, 64),
    "mixed_4b": Widths(192, 96, 208, 16, 48, 64),
    "mixed_4c": Widths(160, 112, 224, 24, 64, 64),
    "mixed_4d": Widths(128, 128, 256, 24, 64, 64),
    "mixed_4e": Widths(112, 144, 288, 32, 64, 64),
    "mixed_4f": Widths(256, 160, 320, 32, 128, 128),
    "mixed_5b": Widths(256, 160, 320, 32, 128, 128),
    "mixed_5c": Widths(384, 192, 384, 48, 128, 128),
}


class SamePadding3d(nn.Module):
    """Pad a clip as TensorFlow's "SAME" does: an output position for each ``stride`` input positions, rounded up.

    Args:
        kernel: of the layer that follows.
        stride: of the layer that follows.
        value: of the padding.
    """

    def __init__(self, kernel: Size, stride: Size, value: float = 0.0) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, T, H, W)`` to ``(N, C, T', H', W')``."""
        padding: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel[::-1], self.stride[::-1], strict=True):
            total = (size - 1) // stride * stride + kernel - size
            if kernel < stride:  # otherwise it isn't negative, and without max the sizes of exported graphs stay short
                total = max(0, total)
            padding += [total // 2, total - total // 2]
        return F.pad(x, padding, value=self.value)


class ShiftedBatchNorm3d(nn.BatchNorm3d):
    """Batch normalization with a learned shift but without a learned scale."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_BN_EPS)
        self.register_parameter("weight", None)

    def reset_parameters(self) -> None:
        """Reset the statistics and the shift."""
        self.reset_running_stats()
        nn.init.zeros_(self.bias)


class InceptionModule(nn.Module):
    """Four branches side by side: 1x1x1; 1x1x1 and 3x3x3, twice; max-pool and 1x1x1.

    Args:
        in_channels: channels of the input.
        widths: of the convolutions.
    """

    def __init__(self, in_channels: int, widths: Widths) -> None:
        super().__init__()
        self.branch_0 = _unit(in_channels, widths.point)
        self.branch_1 = nn.Sequential(
            _unit(in_channels, widths.reduce_wide), _unit(widths.reduce_wide, widths.wide, kernel=3)
        )
        self.branch_2 = nn.Sequential(
            _unit(in_channels, widths.reduce_narrow), _unit(widths.reduce_narrow, widths.narrow, kernel=3)
        )
        self.branch_3 = nn.Sequential(nn.MaxPool3d(3, 1, padding=1), _unit(in_channels, widths.pooled))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, T, H, W)`` to ``(N, widths.total, T, H, W)``."""
        return torch.cat((self.branch_0(x), self.branch_1(x), self.branch_2(x), self.branch_3(x)), dim=1)


class InceptionI3d(RecognitionNet):
    """Inception-I3D. Arguments are explained in ``RecognitionArguments``.

    Attributes:
        stages: the names of kinetics-i3d in lower case, ``conv_1a`` to ``mixed_5c``.
    """

    traits = RecognitionTraits(task="recognition", modalities=("clip",), clip_length=None)

    input_layers = ("conv_1a",)

    def __init__(self, num_classes: int = 400, in_channels: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.num_features = _FEATURES
        stem = Conv3d(in_channels, 64, 7, 2, bias=False)
        self.conv_1a = nn.Sequential(
            SamePadding3d((7, 7, 7), (2, 2, 2)), stem, ShiftedBatchNorm3d(64), nn.ReLU(inplace=True)
        )
        self.pool_2a = _pool((1, 3, 3), (1, 2, 2))
        self.conv_2b = _unit(64, 64)
        self.conv_2c = _unit(64, 192, kernel=3)
        self.pool_3a = _pool((1, 3, 3), (1, 2, 2))
        names = ["conv_1a", "pool_2a", "conv_2b", "conv_2c", "pool_3a"]
        pools = {"mixed_4b": ("pool_4a", 3), "mixed_5b": ("pool_5a", 2)}
        channels = 192
        for name, widths in MODULES.items():
            if name in pools:
                pool, kernel = pools[name]
                self.add_module(pool, _pool((kernel, kernel, kernel), (2, 2, 2)))
                names.append(pool)
            self.add_module(name, InceptionModule(channels, widths))
            names.append(name)
            channels = widths.total
        self.stages = tuple(names)
        self.dropout = nn.Dropout(dropout)
        self.fc = make_classifier(_FEATURES, num_classes)
        init_residual(self)

    def forward_features(self, clip: Tensor) -> Tensor:
        """Map ``(N, in_channels, T, H, W)`` to the output of ``mixed_5c``, ``(N, 1024, T / 8, H / 32, W / 32)``.

        Sizes are rounded up. The network was trained on 64 frames of 224x224.

        Raises:
            InputError: the clip has another shape.
        """
        self.check_clip(clip)
        return self.run_stages(clip)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Average over the frame and over windows of two positions in time, and classify.

        The original averages the logits of the windows, which is the logits of the average: every position in time has
        the same weight but the first and the last, which are in one window only and have half of it.

        Args:
            features: ``(N, 1024, T, H, W)``.
            pre_logits: return the average ``(N, 1024)`` instead of the logits ``(N, num_classes)``.
        """
        frames = features.mean(dim=(3, 4))
        if frames.shape[2] > 1:
            frames = (frames[:, :, :-1] + frames[:, :, 1:]) / 2
        pooled: Tensor = self.dropout(frames.mean(dim=2))
        return pooled if pre_logits else self.fc(pooled)


def _unit(in_channels: int, out_channels: int, kernel: int = 1) -> nn.Sequential:
    """Make a convolution that keeps the size, its normalization and a ReLU."""
    conv = Conv3d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, ShiftedBatchNorm3d(out_channels), nn.ReLU(inplace=True))


def _pool(kernel: Size, stride: Size) -> nn.Sequential:
    """Make a max-pool with "SAME" padding, which is below every value."""
    return nn.Sequential(SamePadding3d(kernel, stride, -torch.inf), nn.MaxPool3d(kernel, stride))


def _i3d_inception(*, ls3d: Learnable = False, **arguments: Any) -> InceptionI3d:
    net = InceptionI3d(**arguments)
    return make_learnable(net, ls3d, net.input_layers)


@register_model(
    paper="arXiv:1705.07750",
    parameters=12_689_984,
    input_size=(3, 64, 224, 224),
    accuracy=kinetics(71.1, 89.3, "kinetics-i3d, README: RGB, ImageNet + Kinetics, test set"),
    preprocessing=I3D,
)
def i3d_inception(**arguments: Unpack[RecognitionArguments]) -> InceptionI3d:
    """Inception-I3D; with two input channels, its stream for optical flow."""
    return _i3d_inception(**arguments)
