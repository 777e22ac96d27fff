"""The residual networks for clips: blocks that receive their convolution, and the network that strings them.

The common frame of R2D ... R(2+1)D (arXiv:1711.11248), CSN (arXiv:1904.02811), Res3D (arXiv:1708.05038) and
I3D-R50 (arXiv:1705.07750): stem, optional pool, four stages, mean over space and time, classifier. Parameter
names are torchvision's (``stem.0``, ``layer1.0.conv1.0``, ``fc``), so that its checkpoints, VMZ's and ig65m's
need no renaming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ls3d.errors import InputError
from ls3d.models.network import RecognitionTraits
from ls3d.models.recognition._base import RecognitionArguments, RecognitionNet, make_classifier
from ls3d.models.recognition._learnable import Learnable, make_learnable

#: Blocks of the four stages, by depth.
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}

#: Channels inside the blocks of the four stages.
WIDTHS = (64, 128, 256, 512)

Stride = tuple[int, int, int]
Midplanes = Literal["vmz", "torchvision"]
Shortcut = Literal["projection", "zero_padding"]
Pool = Literal["none", "spatial", "spatiotemporal"]
Norm = Callable[[int], nn.Module]

#: Makes the convolution of a block: (inputs, outputs, stride, normalization, the block's own inputs) to a
#: module.
ConvMaker = Callable[[int, int, Stride, Norm, int], nn.Module]


class ResNetArguments(RecognitionArguments, total=False):
    """The arguments that every residual network takes besides those of ``RecognitionArguments``.

    Attributes:
        bn_eps: epsilon of the normalizations: 1e-3 in Caffe2 (VMZ), 1e-5 in PyTorch's own checkpoints.
        temporal_strides: of the four stages; VMZ builds (1, 2, 2, 1) for clips under 8 frames.
        pool1: max-pool after the stem: ``"none"``, ``"spatial"`` (1x3x3) or ``"spatiotemporal"`` (3x3x3).
        shortcut: where shapes change: ``"projection"`` (1x1x1) or ``"zero_padding"`` (type A of
            arXiv:1512.03385).
    """

    bn_eps: float
    temporal_strides: Sequence[int]
    pool1: Pool
    shortcut: Shortcut


class StemArguments(ResNetArguments, total=False):
    """The arguments of the residual networks whose stem may look at more frames or fewer.

    Attributes:
        stem_kernel: temporal extent of the stem, 3 unless told.
    """

    stem_kernel: int


def batch_norm(eps: float) -> Norm:
    """A maker of 3D batch normalizations. Caffe2's momentum 0.9 is PyTorch's 0.1, the default."""
    return partial(nn.BatchNorm3d, eps=eps)


def conv3d(inputs: int, outputs: int, stride: Stride, norm: Norm, block_inputs: int = 0) -> nn.Module:
    """3x3x3."""
    return nn.Conv3d(inputs, outputs, 3, stride, padding=1, bias=False)


def conv2d(inputs: int, outputs: int, stride: Stride, norm: Norm, block_inputs: int = 0) -> nn.Module:
    """1x3x3: frame by frame."""
    return nn.Conv3d(inputs, outputs, (1, 3, 3), stride, padding=(0, 1, 1), bias=False)


def depthwise(inputs: int, outputs: int, stride: Stride, norm: Norm, block_inputs: int = 0) -> nn.Module:
    """3x3x3 channel by channel: the interaction-reduced convolution of CSN."""
    return nn.Conv3d(inputs, outputs, 3, stride, padding=1, groups=inputs, bias=False)


def pointwise_depthwise(inputs: int, outputs: int, stride: Stride, norm: Norm, block_inputs: int = 0) -> nn.Module:
    """1x1x1, normalization, no ReLU, 3x3x3 channel by channel: CSN's interaction-preserved convolution."""
    pointwise = nn.Conv3d(inputs, outputs, 1, bias=False)
    return nn.Sequential(pointwise, norm(outputs), depthwise(outputs, outputs, stride, norm))


def conv2plus1d(
    inputs: int, outputs: int, stride: Stride, norm: Norm, block_inputs: int, *, midplanes: Midplanes
) -> nn.Module:
    """1x3x3, normalization, ReLU, 3x1x1: section 3.5 of arXiv:1711.11248."""
    middle = factorized_width(block_inputs if midplanes == "torchvision" else inputs, outputs)
    return nn.Sequential(
        nn.Conv3d(inputs, middle, (1, 3, 3), (1, *stride[1:]), padding=(0, 1, 1), bias=False),
        norm(middle),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, outputs, (3, 1, 1), (stride[0], 1, 1), padding=(1, 0, 0), bias=False),
    )


def factorized_width(inputs: int, outputs: int) -> int:
    """The width M that keeps the parameters of 3x3x3 from N' to N: 27 N' N / (9 N' + 3 N), rounded down.

    VMZ takes N' and N from the convolution itself, torchvision N' from the block that it stands in: 288
    against 230 in the second convolution of ``layer2.0``, for example. Checkpoints of the one do not fit the
    other.
    """
    return 27 * inputs * outputs // (9 * inputs + 3 * outputs)


class ZeroPaddedShortcut(nn.Module):
    """Subsample, and fill up with zero channels: shortcut type A of arXiv:1512.03385, without parameters."""

    def __init__(self, inputs: int, outputs: int, stride: Stride) -> None:
        super().__init__()
        self.stride, self.extra = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inputs, T, H, W)`` to ``(N, outputs, T / sT, H / sH, W / sW)``, rounded up."""
        t, h, w = self.stride
        return F.pad(x[:, :, ::t, ::h, ::w], (0, 0, 0, 0, 0, 0, 0, self.extra))


def make_shortcut(inputs: int, outputs: int, stride: Stride, norm: Norm, kind: Shortcut) -> nn.Module | None:
    """What brings a block's input to its output's shape, or None where it has it already."""
    if inputs == outputs and stride == (1, 1, 1):
        return None
    if kind == "zero_padding":
        return ZeroPaddedShortcut(inputs, outputs, stride)
    if kind == "projection":
        return project(inputs, outputs, stride, norm)
    raise InputError(f"shortcut is {kind!r}; it is 'projection' or 'zero_padding'")


def project(inputs: int, outputs: int, stride: Stride, norm: Norm) -> nn.Module:
    """1x1x1 with normalization."""
    return nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride, bias=False), norm(outputs))


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut; the first one strides."""

    expansion = 1

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: Stride,
        maker: ConvMaker,
        norm: Norm,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        first = maker(inputs, width, stride, norm, inputs)
        second = maker(width, width, (1, 1, 1), norm, inputs)
        self.conv1 = nn.Sequential(first, norm(width), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(second, norm(width))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inputs, T, H, W)`` to ``(N, width, T', H', W')``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.conv2(self.conv1(x)) + shortcut)


class Bottleneck(nn.Module):
    """Narrow, convolve, widen, beside a shortcut; the middle convolution strides.

    Args:
        inputs: channels in.
        width: channels inside; the output has four times as many.
        stride: of the middle convolution and of the shortcut.
        maker: makes the middle convolution.
        norm: makes the normalizations.
        downsample: the shortcut, None for the identity.
        first_kernel: temporal extent of the narrowing convolution, 3 where I3D inflates it.
        non_local: what follows the block's last ReLU.
    """

    expansion = 4

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: Stride,
        maker: ConvMaker,
        norm: Norm,
        downsample: nn.Module | None = None,
        first_kernel: int = 1,
        non_local: nn.Module | None = None,
    ) -> None:
        super().__init__()
        outputs = width * self.expansion
        kernel, padding = (first_kernel, 1, 1), (first_kernel // 2, 0, 0)
        first = nn.Conv3d(inputs, width, kernel, padding=padding, bias=False)
        middle = maker(width, width, stride, norm, inputs)
        self.conv1 = nn.Sequential(first, norm(width), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(middle, norm(width), nn.ReLU(inplace=True))
        self.conv3 = nn.Sequential(nn.Conv3d(width, outputs, 1, bias=False), norm(outputs))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.non_local = non_local

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inputs, T, H, W)`` to ``(N, 4 * width, T', H', W')``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.conv3(self.conv2(self.conv1(x))) + shortcut)
        return y if self.non_local is None else self.non_local(y)


def zero_last_scale(block: Bottleneck) -> None:
    """Let a bottleneck start as its shortcut (section 5.1 of arXiv:1706.02677)."""
    last = block.conv3[1]
    assert isinstance(last, nn.BatchNorm3d)
    nn.init.zeros_(last.weight)


@dataclass(frozen=True)
class Place:
    """Where a block stands: stage 0 to 3 (conv2_x to conv5_x), index in it, and the shapes it has to meet."""

    stage: int
    index: int
    inputs: int
    width: int
    stride: Stride


def make_stages(
    depth: Sequence[int], temporal_strides: Sequence[int], expansion: int, block: Callable[[Place], nn.Module]
) -> list[nn.Sequential]:
    """The four stages; every one but the first halves height and width in its first block.

    Raises:
        InputError: there are not four temporal strides.
    """
    if len(temporal_strides) != 4:
        raise InputError(f"temporal_strides is {list(temporal_strides)}; it is four numbers, one for each stage")
    stages, inputs = [], WIDTHS[0]
    for stage, (count, width, temporal) in enumerate(zip(depth, WIDTHS, temporal_strides, strict=True)):
        spatial = 1 if stage == 0 else 2
        blocks = []
        for index in range(count):
            stride = (temporal, spatial, spatial) if index == 0 else (1, 1, 1)
            blocks.append(block(Place(stage, index, inputs, width, stride)))
            inputs = width * expansion
        stages.append(nn.Sequential(*blocks))
    return stages


def block_of(depth: int) -> type[BasicBlock] | type[Bottleneck]:
    """Bottlenecks from 50 layers on."""
    return Bottleneck if depth >= 50 else BasicBlock


def plain_block(
    depth: int, makers: Sequence[ConvMaker], norm: Norm, shortcut: Shortcut, project_first: bool
) -> Callable[[Place], nn.Module]:
    """What makes the blocks of a network of this depth, one convolution maker for each stage."""
    kind = block_of(depth)

    def make(place: Place) -> nn.Module:
        shapes = (place.inputs, place.width * kind.expansion, place.stride, norm)
        first = place.stage == place.index == 0
        downsample = project(*shapes) if first and project_first else make_shortcut(*shapes, shortcut)
        return kind(place.inputs, place.width, place.stride, makers[place.stage], norm, downsample)

    return make


def stem3d(
    in_channels: int, kernel: int, norm: Norm, temporal_stride: int = 1, temporal_padding: int | None = None
) -> nn.Sequential:
    """``kernel`` x7x7 to 64 channels at half the height and width; keeps the length unless told otherwise."""
    padding = (kernel // 2 if temporal_padding is None else temporal_padding, 3, 3)
    conv = nn.Conv3d(in_channels, 64, (kernel, 7, 7), (temporal_stride, 2, 2), padding, bias=False)
    return nn.Sequential(conv, norm(64), nn.ReLU(inplace=True))


def stem2plus1d(in_channels: int, kernel: int, norm: Norm, width: int) -> nn.Sequential:
    """1x7x7 to ``width`` channels, then ``kernel`` x1x1 to 64.

    VMZ and torchvision set the width to 45, 3D-ResNets to 110; the rule of the other layers would say 83.
    """
    return nn.Sequential(
        nn.Conv3d(in_channels, width, (1, 7, 7), (1, 2, 2), padding=(0, 3, 3), bias=False),
        norm(width),
        nn.ReLU(inplace=True),
        nn.Conv3d(width, 64, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=False),
        norm(64),
        nn.ReLU(inplace=True),
    )


def make_pool(kind: Pool) -> nn.Module:
    """The max-pool after the stem.

    Raises:
        InputError: there is no such kind.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "spatial":
        return nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1))
    if kind == "spatiotemporal":
        return nn.MaxPool3d(3, 2, padding=1)
    raise InputError(f"pool1 is {kind!r}; it is 'none', 'spatial' or 'spatiotemporal'")


class ResNet3d(RecognitionNet):
    """Stem, pool, four residual stages, mean over space and time, classifier.

    Args:
        stem: clip to 64 channels.
        pool1: follows the stem.
        stages: the four stages.
        num_features: channels of the last stage.
        in_channels: channels of the clip.
        num_classes: outputs; 0 for features.
        dropout: before the classifier.
        pool2: follows the first stage.
    """

    traits = RecognitionTraits(task="recognition", modalities=("clip",), clip_length=None)

    def __init__(
        self,
        stem: nn.Sequential,
        pool1: nn.Module,
        stages: Sequence[nn.Sequential],
        num_features: int,
        in_channels: int,
        num_classes: int,
        dropout: float = 0.0,
        pool2: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.num_classes = in_channels, num_classes
        self.stem, self.pool1 = stem, pool1
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.stages = ("layer1", "layer2", "layer3", "layer4")
        if pool2 is not None:
            self.pool2 = pool2
            self.stages = ("layer1", "pool2", "layer2", "layer3", "layer4")
        self.num_features = num_features
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = make_classifier(self.num_features, num_classes)
        init_residual(self)

    def forward_features(self, clip: Tensor) -> Tensor:
        """Map ``(N, in_channels, T, H, W)`` to the last stage's output ``(N, num_features, T', H', W')``."""
        self.check_clip(clip)
        return self.run_stages(self.pool1(self.stem(clip)))

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Average ``(N, C, T, H, W)`` over all positions and classify: ``(N, num_classes)`` or ``(N, C)``."""
        pooled = self.dropout(self.avgpool(features).flatten(1))
        return pooled if pre_logits else self.fc(pooled)


def resnet3d(
    depth: int,
    makers: Sequence[ConvMaker],
    *,
    num_classes: int = 400,
    in_channels: int = 3,
    ls3d: Learnable = False,
    dropout: float = 0.0,
    bn_eps: float = 1e-3,
    temporal_strides: Sequence[int] = (1, 2, 2, 2),
    pool1: Pool = "none",
    shortcut: Shortcut = "projection",
    stem_kernel: int = 3,
    stem: Callable[[int, int, Norm], nn.Sequential] = stem3d,
    project_first: bool = False,
) -> ResNet3d:
    """Assemble a network from one maker of convolutions for each stage.

    ``ResNetArguments`` explains the other arguments. ``project_first`` gives the very first block a
    projection.
    """
    norm, expansion = batch_norm(bn_eps), block_of(depth).expansion
    block = plain_block(depth, makers, norm, shortcut, project_first)
    net = ResNet3d(
        stem(in_channels, stem_kernel, norm),
        make_pool(pool1),
        make_stages(DEPTHS[depth], temporal_strides, expansion, block),
        WIDTHS[-1] * expansion,
        in_channels,
        num_classes,
        dropout,
    )
    return make_learnable(net, ls3d, net.input_layers)


def init_residual(model: nn.Module) -> None:
    """He's initialization over the fan-out (MSRAFill) for convolutions, unit scale for normalizations."""
    for name, module in model.named_modules():
        if ".non_local." in name:
            continue  # has its own
        if isinstance(module, nn.Conv3d | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
