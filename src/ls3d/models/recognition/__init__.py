"""Networks for action recognition from RGB, optical flow and audio."""

from ls3d.models.recognition import (
    audio,
    audiovisual,
    c3d,
    csn,
    fusion,
    i3d,
    i3d_inception,
    mcx,
    r2d,
    r2plus1d,
    r3d,
    res3d,
)

__all__ = [
    "audio",
    "audiovisual",
    "c3d",
    "csn",
    "fusion",
    "i3d",
    "i3d_inception",
    "mcx",
    "r2d",
    "r2plus1d",
    "r3d",
    "res3d",
]
