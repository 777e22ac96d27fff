"""Initialization for networks without normalization layers."""

from __future__ import annotations

import math

import torch
from torch import nn

from ls3d.nn.blocks import LS3DResBlock, ResBlock2d
from ls3d.nn.conv import LS3DConv3d


def initialize(module: nn.Module) -> None:
    """He initialization of every convolution, so that signals keep their size through a network without norms.

    A transposed convolution adds up ``kernel / stride`` taps for each output, which is its true fan-in. The
    predictors of ``LS3DConv3d`` keep their zeros, and its weights are doubled because its importances start at one
    half. Residual branches start small.
    """
    predictors = {layer.predictor for layer in module.modules() if isinstance(layer, LS3DConv3d)}
    for layer in module.modules():
        if not isinstance(layer, nn.modules.conv._ConvNd) or layer in predictors:
            continue
        stride = layer.stride if layer.transposed else (1,) * len(layer.kernel_size)
        taps = math.prod(layer.kernel_size) / math.prod(stride)
        gain = 2 if isinstance(layer, LS3DConv3d) and layer.modulation else 1
        nn.init.normal_(layer.weight, std=gain * math.sqrt(2 / (layer.in_channels * taps)))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for block in module.modules():
        if isinstance(block, LS3DResBlock | ResBlock2d):
            with torch.no_grad():
                block.conv2.weight.mul_(0.1)
