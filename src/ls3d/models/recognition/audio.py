"""The audio networks of Gradient-Blending: 2D ResNets on log-mel spectrograms (arXiv:1905.12681, VMZ).

A second of audio is ``(N, 1, 100, 40)``: 100 windows of 10 ms, 40 mel bands. The stem is one 3x3 convolution (with
bias, without normalization) and three basic blocks; every stage halves time and bands; the head takes the maximum.
"""

from __future__ import annotations

from typing import TypedDict, Unpack

from torch import Tensor, nn

from ls3d.errors import InputError
from ls3d.models.network import RecognitionTraits
from ls3d.models.recognition._base import RecognitionNet, make_classifier
from ls3d.models.recognition._resnet3d import DEPTHS, WIDTHS, init_residual
from ls3d.models.registry import register_model

_PAPER = "arXiv:1905.12681"
_SIZE = (1, 100, 40)


class AudioArguments(TypedDict, total=False):
    """The arguments of the audio networks, which ``AudioResNet`` explains."""

    num_classes: int
    in_channels: int
    dropout: float
    bn_eps: float


class _Block2d(nn.Module):
    """Two 3x3 convolutions, or a bottleneck of three, plus a shortcut, which projects where shapes change."""

    def __init__(self, in_channels: int, width: int, stride: int, bottleneck: bool, eps: float) -> None:
        super().__init__()
        out_channels = 4 * width if bottleneck else width
        if bottleneck:
            self.conv1 = _conv_bn(in_channels, width, 1, 1, eps, relu=True)
            self.conv2 = _conv_bn(width, width, 3, stride, eps, relu=True)
            self.conv3 = _conv_bn(width, out_channels, 1, 1, eps)
        else:
            self.conv1 = _conv_bn(in_channels, width, 3, stride, eps, relu=True)
            self.conv2 = _conv_bn(width, width, 3, 1, eps)
            self.conv3 = nn.Sequential()
        same = in_channels == out_channels and stride == 1
        self.downsample = None if same else _conv_bn(in_channels, out_channels, 1, stride, eps)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, time, mel)`` to ``(N, out_channels, time / stride, mel / stride)``, rounded up."""
        shortcut = x if self.downsample is None else self.downsample(x)
        output: Tensor = self.relu(self.conv3(self.conv2(self.conv1(x))) + shortcut)
        return output


def _conv_bn(
    in_channels: int, out_channels: int, kernel: int, stride: int, eps: float, relu: bool = False
) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels, eps=eps), *([nn.ReLU(inplace=True)] if relu else []))


class AudioResNet(RecognitionNet):
    """A 2D ResNet on spectrograms ``(N, 1, time, mel)``, which it halves five times, rounding up.

    Args:
        depth: 18, 34, 50, 101 or 152; bottlenecks from 50 on.
        num_classes: outputs; 0 for features.
        in_channels: channels of the spectrogram.
        dropout: before the classifier.
        bn_eps: epsilon of the normalizations.
    """

    traits = RecognitionTraits(task="audio", modalities=("spectrogram",), clip_length=None)

    def __init__(
        self,
        depth: int,
        num_classes: int = 400,
        in_channels: int = 1,
        dropout: float = 0.0,
        bn_eps: float = 1e-3,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.num_classes = num_classes
        bottleneck = depth >= 50
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1)
        self.stem = nn.Sequential(
            *(_Block2d(channels, 32, stride, False, bn_eps) for channels, stride in ((16, 2), (32, 1), (32, 1)))
        )
        channels = 32
        stages = []
        for count, width in zip(DEPTHS[depth], WIDTHS, strict=True):
            blocks = []
            for index in range(count):
                blocks.append(_Block2d(channels, width, 2 if index == 0 else 1, bottleneck, bn_eps))
                channels = 4 * width if bottleneck else width
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.stages = ("stem", "layer1", "layer2", "layer3", "layer4")
        self.num_features = channels
        self.maxpool = nn.AdaptiveMaxPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = make_classifier(channels, num_classes)
        init_residual(self)

    def forward_features(self, spectrogram: Tensor) -> Tensor:
        """Map ``(N, 1, time, mel)`` to ``(N, num_features, time / 32, mel / 32)``, rounded up.

        Raises:
            InputError: the spectrogram has another shape.
        """
        if spectrogram.ndim != 4 or spectrogram.shape[1] != self.in_channels:
            raise InputError(
                f"a spectrogram of shape {tuple(spectrogram.shape)} does not fit; "
                f"the network takes (N, {self.in_channels}, time, mel)"
            )
        return self.run_stages(self.conv1(spectrogram))

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Take the maximum over ``(N, C, time, mel)`` and classify: ``(N, num_classes)`` or ``(N, C)``."""
        pooled: Tensor = self.dropout(self.maxpool(features).flatten(1))
        return pooled if pre_logits else self.fc(pooled)


@register_model(
    paper=_PAPER,
    parameters=11_407_728,
    input_size=_SIZE,
)
def audio_resnet_18(**arguments: Unpack[AudioArguments]) -> AudioResNet:
    """2D ResNet-18 on log-mel spectrograms."""
    return AudioResNet(18, **arguments)


@register_model(
    paper=_PAPER,
    parameters=21_515_888,
    input_size=_SIZE,
)
def audio_resnet_34(**arguments: Unpack[AudioArguments]) -> AudioResNet:
    """2D ResNet-34 on log-mel spectrograms."""
    return AudioResNet(34, **arguments)


@register_model(
    paper=_PAPER,
    parameters=24_359_664,
    input_size=_SIZE,
)
def audio_resnet_50(**arguments: Unpack[AudioArguments]) -> AudioResNet:
    """2D ResNet-50 on log-mel spectrograms."""
    return AudioResNet(50, **arguments)


@register_model(
    paper=_PAPER,
    parameters=43_351_792,
    input_size=_SIZE,
)
def audio_resnet_101(**arguments: Unpack[AudioArguments]) -> AudioResNet:
    """2D ResNet-101 on log-mel spectrograms."""
    return AudioResNet(101, **arguments)


@register_model(
    paper=_PAPER,
    parameters=58_995_440,
    input_size=_SIZE,
    gmacs=1.244,
)
def audio_resnet_152(**arguments: Unpack[AudioArguments]) -> AudioResNet:
    """2D ResNet-152 on log-mel spectrograms."""
    return AudioResNet(152, **arguments)
