"""The operators: learnable-sampling 3D convolution (section 3.2 of the LS3D paper) and bilateral motion."""

from __future__ import annotations

from ls3d.ops._bilateral_motion import bilateral_motion
from ls3d.ops._conv3d import ls3d_conv3d
from ls3d.ops._deform_conv2d import deform_conv2d
from ls3d.ops._geometry import Geometry, Interpolation
from ls3d.ops.backends.choose import use_backend

__all__ = ["Geometry", "Interpolation", "bilateral_motion", "deform_conv2d", "ls3d_conv3d", "use_backend"]
