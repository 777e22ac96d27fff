"""Layers and blocks made from the operator."""

from __future__ import annotations

from ls3d.nn.blocks import LS3DResBlock
from ls3d.nn.conv import LS3DConv3d
from ls3d.nn.sampling import parameter_groups

__all__ = ["LS3DConv3d", "LS3DResBlock", "parameter_groups"]
