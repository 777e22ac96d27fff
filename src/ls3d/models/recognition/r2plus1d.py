"""R(2+1)D: every 3D convolution is factorized into a spatial and a temporal one (section 3.5 of arXiv:1711.11248)."""

from __future__ import annotations

from functools import partial
from typing import Unpack

from ls3d.errors import InputError
from ls3d.models.metadata import VMZ, kinetics
from ls3d.models.recognition._blocks import Midplanes, conv2plus1d, stem2plus1d
from ls3d.models.recognition._resnet3d import ResNet3d, StemArguments, resnet3d
from ls3d.models.registry import register_model

_PAPER = "arXiv:1711.11248, section 3.5"
_ZOO = "VMZ, tutorials/model_zoo.md: Kinetics-400"


class R2Plus1dArguments(StemArguments, total=False):
    """The arguments of the R(2+1)D networks.

    Attributes:
        midplanes: rule for the channels between the spatial and the temporal convolution, ``"vmz"`` or
            ``"torchvision"``; see ``factorized_width``.
        stem_width: these channels in the stem, which follow no rule: 45, or 110 in 3D-ResNets.
    """

    midplanes: Midplanes
    stem_width: int


def _r2plus1d(
    depth: int,
    midplanes: Midplanes = "vmz",
    stem_width: int = 45,
    **arguments: Unpack[StemArguments],
) -> ResNet3d:
    if midplanes not in ("vmz", "torchvision"):
        raise InputError(f"midplanes is {midplanes!r}, expected 'vmz' or 'torchvision'")
    make_conv = partial(conv2plus1d, midplanes=midplanes)
    return resnet3d(depth, [make_conv] * 4, stem=partial(stem2plus1d, middle=stem_width), **arguments)


@register_model(
    paper=_PAPER,
    parameters=33_370_839,
    input_size=(3, 8, 112, 112),
    gmacs=20.75,
    accuracy=kinetics(65.3, 85.2),
    preprocessing=VMZ,
)
def r2plus1d_18(**arguments: Unpack[R2Plus1dArguments]) -> ResNet3d:
    """R(2+1)D-18: 1x3x3 then 3x1x1 in place of every 3x3x3."""
    return _r2plus1d(18, **arguments)


@register_model(
    paper=_PAPER,
    parameters=63_697_175,
    input_size=(3, 32, 112, 112),
    gmacs=152.36,
    accuracy=kinetics(72.4, 90.6, f"{_ZOO}, from scratch, dense clips"),
    preprocessing=VMZ,
)
def r2plus1d_34(**arguments: Unpack[R2Plus1dArguments]) -> ResNet3d:
    """R(2+1)D-34: 1x3x3 then 3x1x1 in place of every 3x3x3."""
    return _r2plus1d(34, **arguments)


@register_model(
    paper=_PAPER,
    parameters=46_985_057,
    input_size=(3, 8, 112, 112),
    preprocessing=VMZ,
)
def r2plus1d_50(**arguments: Unpack[R2Plus1dArguments]) -> ResNet3d:
    """R(2+1)D-50: 1x3x3 then 3x1x1 in place of every 3x3x3."""
    return _r2plus1d(50, **arguments)


@register_model(
    paper=_PAPER,
    parameters=86_050_785,
    input_size=(3, 8, 112, 112),
    preprocessing=VMZ,
)
def r2plus1d_101(**arguments: Unpack[R2Plus1dArguments]) -> ResNet3d:
    """R(2+1)D-101: 1x3x3 then 3x1x1 in place of every 3x3x3."""
    return _r2plus1d(101, **arguments)


@register_model(
    paper=_PAPER,
    parameters=118_226_785,
    input_size=(3, 32, 112, 112),
    gmacs=252.00,
    accuracy=kinetics(77.3, 92.5, f"{_ZOO}, from scratch"),
    preprocessing=VMZ,
)
def r2plus1d_152(**arguments: Unpack[R2Plus1dArguments]) -> ResNet3d:
    """R(2+1)D-152: 1x3x3 then 3x1x1 in place of every 3x3x3."""
    return _r2plus1d(152, **arguments)
