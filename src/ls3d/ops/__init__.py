"""The operator: learnable-sampling 3D convolution (section 3.2 of the LS3D paper). Knows only torch."""

from __future__ import annotations

from ls3d.ops._conv3d import ls3d_conv3d

__all__ = ["ls3d_conv3d"]
