"""Enhancement of whole videos: ``interpolate``, ``upscale``, ``denoise``. All other streams of a file are kept.

The functions are imported on first use: user interfaces need the options before anything heavy is imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ls3d.enhance.files import FileResult, enhance_files, find_videos, pair_files
from ls3d.enhance.options import EnhanceOptions
from ls3d.enhance.report import EnhanceReport
from ls3d.progress import Progress

if TYPE_CHECKING:
    from ls3d.enhance.api import denoise, interpolate, upscale

__all__ = [
    "EnhanceOptions",
    "EnhanceReport",
    "FileResult",
    "Progress",
    "denoise",
    "enhance_files",
    "find_videos",
    "interpolate",
    "pair_files",
    "upscale",
]


def __getattr__(name: str) -> Any:
    if name in ("denoise", "interpolate", "upscale"):
        return getattr(importlib.import_module("ls3d.enhance.api"), name)
    raise AttributeError(f"module 'ls3d.enhance' has no attribute {name!r}")
