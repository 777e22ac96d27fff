"""Res3D: the first residual networks of 3x3x3 convolutions (arXiv:1708.05038).

R3D as in the Caffe release: the first block has a projection although its shapes are equal.
"""

from __future__ import annotations

from typing import Unpack

from ls3d.models.metadata import C3D_SPORTS, PublishedAccuracy
from ls3d.models.recognition._blocks import conv3d
from ls3d.models.recognition._resnet3d import ResNet3d, StemArguments, resnet3d
from ls3d.models.registry import register_model

_PAPER = "arXiv:1708.05038"


def _res3d(depth: int, **arguments: Unpack[StemArguments]) -> ResNet3d:
    settings: StemArguments = {"bn_eps": 1e-5, **arguments}
    return resnet3d(depth, [conv3d] * 4, project_first=True, **settings)


@register_model(
    paper=_PAPER,
    parameters=33_375_696,
    input_size=(3, 8, 112, 112),
    gmacs=20.45,
    accuracy=PublishedAccuracy("UCF101", 85.8, "arXiv:1708.05038: features and a linear SVM, 3 splits"),
    preprocessing=C3D_SPORTS,
)
def res3d_18(**arguments: Unpack[StemArguments]) -> ResNet3d:
    """Res3D-18: a residual C3D, on clips of 8 frames, every second of the video."""
    return _res3d(18, **arguments)


@register_model(
    paper=_PAPER,
    parameters=63_685_328,
    input_size=(3, 8, 112, 112),
    preprocessing=C3D_SPORTS,
)
def res3d_34(**arguments: Unpack[StemArguments]) -> ResNet3d:
    """Res3D-34: a deeper residual C3D."""
    return _res3d(34, **arguments)
