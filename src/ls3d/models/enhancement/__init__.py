"""Networks for interpolation, super-resolution and denoising, and baselines without weights."""

from ls3d.models.enhancement import (
    aligned_mean,
    baselines,
    bilateral,
    ffmpeg,
    restoration_plus,
    vdn,
    vfi,
    vfi_plus,
    vsr,
)

__all__ = [
    "aligned_mean",
    "baselines",
    "bilateral",
    "ffmpeg",
    "restoration_plus",
    "vdn",
    "vfi",
    "vfi_plus",
    "vsr",
]
