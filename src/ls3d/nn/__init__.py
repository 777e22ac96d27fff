"""Layers and blocks with learnable sampling, and what trains, converts and examines them."""

from __future__ import annotations

from ls3d.nn.blocks import LS3DResBlock, ResBlock2d
from ls3d.nn.conv import LS3DConv3d
from ls3d.nn.convert import convert
from ls3d.nn.dense import Conv3d, use_fast_convolutions
from ls3d.nn.initialize import initialize
from ls3d.nn.memory_format import make_channels_last
from ls3d.nn.non_local import NonLocalBlock3d
from ls3d.nn.offsets import limit_offsets, parameter_groups
from ls3d.nn.statistics import OffsetStatistics, offset_statistics

__all__ = [
    "Conv3d",
    "LS3DConv3d",
    "LS3DResBlock",
    "NonLocalBlock3d",
    "OffsetStatistics",
    "ResBlock2d",
    "convert",
    "initialize",
    "limit_offsets",
    "make_channels_last",
    "offset_statistics",
    "parameter_groups",
    "use_fast_convolutions",
]
