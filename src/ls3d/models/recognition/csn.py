"""CSN: channel-separated networks (arXiv:1904.02811).

Bottlenecks with a depthwise 3x3x3 convolution: interaction-reduced (ir), or interaction-preserved (ip) by a 1x1x1
convolution before it.
"""

from __future__ import annotations

from typing import Unpack

from ls3d.models.metadata import VMZ, kinetics
from ls3d.models.recognition._blocks import ConvMaker, depthwise, pointwise_depthwise
from ls3d.models.recognition._resnet3d import ResNet3d, StemArguments, resnet3d
from ls3d.models.registry import register_model

_PAPER = "arXiv:1904.02811"
_ZOO = "VMZ, tutorials/model_zoo.md: Kinetics-400 from scratch, 10 clips x 3 crops"


def _csn(depth: int, make_conv: ConvMaker, **arguments: Unpack[StemArguments]) -> ResNet3d:
    settings: StemArguments = {"pool1": "spatial", **arguments}
    return resnet3d(depth, [make_conv] * 4, **settings)


@register_model(
    paper=_PAPER,
    parameters=13_131_152,
    input_size=(3, 32, 224, 224),
    gmacs=42.31,
    accuracy=kinetics(79.44, 94.26, "mmaction2, pre-trained on IG-65M"),
    preprocessing=VMZ,
)
def ir_csn_50(**arguments: Unpack[StemArguments]) -> ResNet3d:
    """Interaction-reduced channel-separated network of 50 layers."""
    return _csn(50, depthwise, **arguments)


@register_model(
    paper=_PAPER,
    parameters=14_396_176,
    input_size=(3, 32, 224, 224),
    gmacs=47.65,
    preprocessing=VMZ,
)
def ip_csn_50(**arguments: Unpack[StemArguments]) -> ResNet3d:
    """Interaction-preserved channel-separated network of 50 layers."""
    return _csn(50, pointwise_depthwise, **arguments)


@register_model(
    paper=_PAPER,
    parameters=22_213_776,
    input_size=(3, 32, 224, 224),
    gmacs=56.47,
    accuracy=kinetics(77.0, 92.9, "pytorchvideo, csn_r101"),
    preprocessing=VMZ,
)
def ir_csn_101(**arguments: Unpack[StemArguments]) -> ResNet3d:
    """Interaction-reduced channel-separated network of 101 layers."""
    return _csn(101, depthwise, **arguments)


@register_model(
    paper=_PAPER,
    parameters=24_601_616,
    input_size=(3, 32, 224, 224),
    gmacs=63.56,
    preprocessing=VMZ,
)
def ip_csn_101(**arguments: Unpack[StemArguments]) -> ResNet3d:
    """Interaction-preserved channel-separated network of 101 layers."""
    return _csn(101, pointwise_depthwise, **arguments)


@register_model(
    paper=_PAPER,
    parameters=29_703_568,
    input_size=(3, 32, 224, 224),
    gmacs=74.05,
    accuracy=kinetics(76.5, 92.1, _ZOO),
    preprocessing=VMZ,
)
def ir_csn_152(**arguments: Unpack[StemArguments]) -> ResNet3d:
    """Interaction-reduced channel-separated network of 152 layers."""
    return _csn(152, depthwise, **arguments)


@register_model(
    paper=_PAPER,
    parameters=33_016_592,
    input_size=(3, 32, 224, 224),
    gmacs=83.29,
    accuracy=kinetics(77.8, 92.8, _ZOO),
    preprocessing=VMZ,
)
def ip_csn_152(**arguments: Unpack[StemArguments]) -> ResNet3d:
    """Interaction-preserved channel-separated network of 152 layers."""
    return _csn(152, pointwise_depthwise, **arguments)
