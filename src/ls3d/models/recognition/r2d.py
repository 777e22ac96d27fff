"""R2D and f-R2D: residual networks of 2D convolutions (sections 3.1 and 3.2 of arXiv:1711.11248)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Unpack

from ls3d.errors import InputError
from ls3d.models.metadata import VMZ, kinetics
from ls3d.models.recognition._blocks import conv2d, stem3d
from ls3d.models.recognition._resnet3d import ResNet3d, ResNetArguments, StemArguments, resnet3d
from ls3d.models.registry import register_model

_PAPER = "arXiv:1711.11248, section 3"
_NO_TEMPORAL_STRIDES = (1, 1, 1, 1)


class R2dArguments(ResNetArguments, total=False):
    """The arguments of ``r2d_18``.

    Attributes:
        frames: length of the clips, which is the temporal extent of the first layer.
    """

    frames: int


def _r2d(depth: int, frames: int = 8, **arguments: Unpack[ResNetArguments]) -> ResNet3d:
    if frames < 1:
        raise InputError(f"frames is {frames}, expected at least 1")
    stem = partial(stem3d, temporal_padding=0)
    settings: StemArguments = {"temporal_strides": _NO_TEMPORAL_STRIDES, "stem_kernel": frames, **arguments}
    model = resnet3d(depth, [conv2d] * 4, stem=stem, **settings)
    model.traits = replace(model.traits, clip_length=frames)
    return model


@register_model(
    paper=_PAPER,
    parameters=11_447_568,
    input_size=(3, 8, 112, 112),
    gmacs=1.93,
    accuracy=kinetics(60.0, 81.2),
    preprocessing=VMZ,
)
def r2d_18(**arguments: Unpack[R2dArguments]) -> ResNet3d:
    """2D ResNet-18 whose first layer spans the whole clip and leaves one frame."""
    return _r2d(18, **arguments)


@register_model(
    paper=_PAPER,
    parameters=11_381_712,
    input_size=(3, 8, 112, 112),
    gmacs=13.80,
    accuracy=kinetics(60.0, 81.8),
    preprocessing=VMZ,
)
def fr2d_18(**arguments: Unpack[ResNetArguments]) -> ResNet3d:
    """2D ResNet-18 frame by frame, averaged over the clip (f-R2D)."""
    settings: StemArguments = {"temporal_strides": _NO_TEMPORAL_STRIDES, "stem_kernel": 1, **arguments}
    return resnet3d(18, [conv2d] * 4, **settings)
