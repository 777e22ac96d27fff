"""Enhancement of whole videos: ``interpolate``, ``upscale``, ``denoise``, and ``enhance`` for several of these steps.

All other streams of a file are kept. ``enhance_files`` does a job for several files. ``compare`` tries networks on a
few frames first. ``join_shards`` joins what several processes have made. ``interpolate_frames``, ``upscale_frames``,
``denoise_frames`` and ``enhance_frames`` take frames in memory instead of files.

The functions are imported on first use: user interfaces need the options before anything heavy is imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ls3d.enhance.calls import EnhanceCall
from ls3d.enhance.files import FileResult, enhance_files, find_videos, pair_files
from ls3d.enhance.options import EnhanceOptions
from ls3d.enhance.presets import PRESETS, with_preset
from ls3d.enhance.report import EnhanceReport
from ls3d.progress import Progress

if TYPE_CHECKING:
    from ls3d.enhance.api import denoise, enhance, interpolate, upscale
    from ls3d.enhance.comparison import Comparison, Trial, compare
    from ls3d.enhance.frames import denoise_frames, enhance_frames, interpolate_frames, upscale_frames
    from ls3d.enhance.shards import join_shards

_LATER = {
    **dict.fromkeys(("denoise", "enhance", "interpolate", "upscale"), "ls3d.enhance.api"),
    **dict.fromkeys(("Comparison", "Trial", "compare"), "ls3d.enhance.comparison"),
    **dict.fromkeys(
        ("denoise_frames", "enhance_frames", "interpolate_frames", "upscale_frames"), "ls3d.enhance.frames"
    ),
    "join_shards": "ls3d.enhance.shards",
}

__all__ = [
    "PRESETS",
    "Comparison",
    "EnhanceCall",
    "EnhanceOptions",
    "EnhanceReport",
    "FileResult",
    "Progress",
    "Trial",
    "compare",
    "denoise",
    "denoise_frames",
    "enhance",
    "enhance_files",
    "enhance_frames",
    "find_videos",
    "interpolate",
    "interpolate_frames",
    "join_shards",
    "pair_files",
    "upscale",
    "upscale_frames",
    "with_preset",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module 'ls3d.enhance' has no attribute {name!r}")
