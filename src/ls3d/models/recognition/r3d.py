"""R3D: residual networks of 3x3x3 convolutions (section 3.3 of arXiv:1711.11248)."""

from __future__ import annotations

from typing import Unpack

from ls3d.models.metadata import VMZ, kinetics
from ls3d.models.recognition._blocks import conv3d
from ls3d.models.recognition._resnet3d import ResNet3d, StemArguments, resnet3d
from ls3d.models.registry import register_model

_PAPER = "arXiv:1711.11248, section 3"


@register_model(
    paper=_PAPER,
    parameters=33_371_472,
    input_size=(3, 8, 112, 112),
    gmacs=20.35,
    accuracy=kinetics(62.3, 83.4),
    preprocessing=VMZ,
)
def r3d_18(**arguments: Unpack[StemArguments]) -> ResNet3d:
    """3D ResNet-18: every convolution spans space and time."""
    return resnet3d(18, [conv3d] * 4, **arguments)


@register_model(
    paper=_PAPER,
    parameters=63_681_104,
    input_size=(3, 8, 112, 112),
    preprocessing=VMZ,
)
def r3d_34(**arguments: Unpack[StemArguments]) -> ResNet3d:
    """3D ResNet-34: every convolution spans space and time."""
    return resnet3d(34, [conv3d] * 4, **arguments)


@register_model(
    paper=_PAPER,
    parameters=46_980_944,
    input_size=(3, 8, 112, 112),
    preprocessing=VMZ,
)
def r3d_50(**arguments: Unpack[StemArguments]) -> ResNet3d:
    """3D ResNet-50: every convolution spans space and time."""
    return resnet3d(50, [conv3d] * 4, **arguments)


@register_model(
    paper=_PAPER,
    parameters=86_027_088,
    input_size=(3, 8, 112, 112),
    preprocessing=VMZ,
)
def r3d_101(**arguments: Unpack[StemArguments]) -> ResNet3d:
    """3D ResNet-101: every convolution spans space and time."""
    return resnet3d(101, [conv3d] * 4, **arguments)


@register_model(
    paper=_PAPER,
    parameters=118_185_808,
    input_size=(3, 8, 112, 112),
    preprocessing=VMZ,
)
def r3d_152(**arguments: Unpack[StemArguments]) -> ResNet3d:
    """3D ResNet-152: every convolution spans space and time."""
    return resnet3d(152, [conv3d] * 4, **arguments)
