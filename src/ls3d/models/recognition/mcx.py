"""MCx and rMCx: residual networks that mix 2D and 3D convolutions (section 3.4 of arXiv:1711.11248).

MCx is 3D in the groups of convolutions before conv ``x`` (conv1 is the stem) and 2D from conv ``x`` on; rMCx is the
reverse.
"""

from __future__ import annotations

from typing import Unpack

from ls3d.models.metadata import VMZ, kinetics
from ls3d.models.recognition._blocks import conv2d, conv3d
from ls3d.models.recognition._resnet3d import ResNet3d, ResNetArguments, StemArguments, resnet3d
from ls3d.models.registry import register_model

_PAPER = "arXiv:1711.11248, section 3"


def _mixed(depth: int, groups_3d: range, **arguments: Unpack[ResNetArguments]) -> ResNet3d:
    """Build a network from groups 1 (the stem) to 5; those in ``groups_3d`` convolve, and stride, over time."""
    settings: StemArguments = {
        "stem_kernel": 3 if 1 in groups_3d else 1,
        "temporal_strides": [1, *(2 if group in groups_3d else 1 for group in (3, 4, 5))],
        **arguments,
    }
    makers = [conv3d if group in groups_3d else conv2d for group in (2, 3, 4, 5)]
    return resnet3d(depth, makers, **settings)


@register_model(
    paper=_PAPER,
    parameters=11_400_528,
    input_size=(3, 8, 112, 112),
    gmacs=14.27,
    accuracy=kinetics(63.0, 83.8),
    preprocessing=VMZ,
)
def mc2_18(**arguments: Unpack[ResNetArguments]) -> ResNet3d:
    """Mixed convolutions: 3D in conv1, 2D in conv2_x to conv5_x."""
    return _mixed(18, range(1, 2), **arguments)


@register_model(
    paper=_PAPER,
    parameters=11_695_440,
    input_size=(3, 8, 112, 112),
    gmacs=21.67,
    accuracy=kinetics(63.3, 84.2),
    preprocessing=VMZ,
)
def mc3_18(**arguments: Unpack[ResNetArguments]) -> ResNet3d:
    """Mixed convolutions: 3D up to conv2_x, 2D in conv3_x to conv5_x."""
    return _mixed(18, range(1, 3), **arguments)


@register_model(
    paper=_PAPER,
    parameters=12_727_632,
    input_size=(3, 8, 112, 112),
    gmacs=19.98,
    accuracy=kinetics(63.0, 84.2),
    preprocessing=VMZ,
)
def mc4_18(**arguments: Unpack[ResNetArguments]) -> ResNet3d:
    """Mixed convolutions: 3D up to conv3_x, 2D in conv4_x and conv5_x."""
    return _mixed(18, range(1, 4), **arguments)


@register_model(
    paper=_PAPER,
    parameters=16_856_400,
    input_size=(3, 8, 112, 112),
    gmacs=19.95,
    accuracy=kinetics(62.9, 84.2),
    preprocessing=VMZ,
)
def mc5_18(**arguments: Unpack[ResNetArguments]) -> ResNet3d:
    """Mixed convolutions: 3D up to conv4_x, 2D in conv5_x."""
    return _mixed(18, range(1, 5), **arguments)


@register_model(
    paper=_PAPER,
    parameters=33_352_656,
    input_size=(3, 8, 112, 112),
    gmacs=19.88,
    accuracy=kinetics(62.7, 83.9),
    preprocessing=VMZ,
)
def rmc2_18(**arguments: Unpack[ResNetArguments]) -> ResNet3d:
    """Reversed mixed convolutions: 2D in conv1, 3D in conv2_x to conv5_x."""
    return _mixed(18, range(2, 6), **arguments)


@register_model(
    paper=_PAPER,
    parameters=33_057_744,
    input_size=(3, 8, 112, 112),
    gmacs=12.48,
    accuracy=kinetics(62.8, 83.7),
    preprocessing=VMZ,
)
def rmc3_18(**arguments: Unpack[ResNetArguments]) -> ResNet3d:
    """Reversed mixed convolutions: 2D up to conv2_x, 3D in conv3_x to conv5_x."""
    return _mixed(18, range(3, 6), **arguments)


@register_model(
    paper=_PAPER,
    parameters=32_025_552,
    input_size=(3, 8, 112, 112),
    gmacs=14.55,
    accuracy=kinetics(62.8, 83.3),
    preprocessing=VMZ,
)
def rmc4_18(**arguments: Unpack[ResNetArguments]) -> ResNet3d:
    """Reversed mixed convolutions: 2D up to conv3_x, 3D in conv4_x and conv5_x."""
    return _mixed(18, range(4, 6), **arguments)


@register_model(
    paper=_PAPER,
    parameters=27_896_784,
    input_size=(3, 8, 112, 112),
    gmacs=15.39,
    accuracy=kinetics(61.6, 83.1),
    preprocessing=VMZ,
)
def rmc5_18(**arguments: Unpack[ResNetArguments]) -> ResNet3d:
    """Reversed mixed convolutions: 2D up to conv4_x, 3D in conv5_x."""
    return _mixed(18, range(5, 6), **arguments)
