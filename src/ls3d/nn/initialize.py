"""Initialization for networks without normalization layers."""

from __future__ import annotations

import math

import torch
from torch import nn

from ls3d._torch_internals import ConvNd
from ls3d.nn.blocks import LS3DResBlock, ResBlock2d
from ls3d.nn.conv import LS3DConv3d


def initialize(module: nn.Module) -> None:
    """He initialization (arXiv:1502.01852, fan-in) of every convolution, and zeros for its bias.

    The variance of activations then stays about constant through a network without normalization. The fan-in of a
    transposed convolution is divided by its strides, because each output sums only ``kernel / stride`` taps. The
    weights of ``LS3DConv3d`` are doubled, because its masks start at one half; its predictor is left at zero. The
    second convolution of each residual block is scaled by 0.1, so that the block starts close to the identity.
    """
    predictors = {layer.predictor for layer in module.modules() if isinstance(layer, LS3DConv3d)}
    for layer in module.modules():
        if not isinstance(layer, ConvNd) or layer in predictors:
            continue
        stride = layer.stride if layer.transposed else (1,) * len(layer.kernel_size)
        taps = math.prod(layer.kernel_size) / math.prod(stride)
        gain = 2 if isinstance(layer, LS3DConv3d) and layer.modulation else 1
        nn.init.normal_(layer.weight, std=gain * math.sqrt(2 * layer.groups / (layer.in_channels * taps)))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for block in module.modules():
        if isinstance(block, LS3DResBlock | ResBlock2d):
            with torch.no_grad():
                block.conv2.weight.mul_(0.1)
