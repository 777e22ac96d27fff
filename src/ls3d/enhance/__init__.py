"""Real videos made smoother, larger, cleaner: a video in, a video out, nothing else of it lost."""

from ls3d.enhance.api import Options, denoise, interpolate, upscale
from ls3d.enhance.engine import Progress, Report

__all__ = ["Options", "Progress", "Report", "denoise", "interpolate", "upscale"]
