"""ls3d: learnable-sampling 3D convolution, the video networks built from it, and tools for real videos.

Everything named in ``__all__`` is loaded on first use, so that ``import ls3d`` itself imports nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ls3d._version import __version__

if TYPE_CHECKING:
    from ls3d import enhance, evaluation, metrics, models, nn, ops, reproduce, training, video
    from ls3d.models import create_model, list_models, load_model
    from ls3d.nn import LS3DConv3d
    from ls3d.ops import ls3d_conv3d

_SUBMODULES = {"enhance", "evaluation", "metrics", "models", "nn", "ops", "reproduce", "training", "video"}
_HOMES = {
    "LS3DConv3d": "nn",
    "create_model": "models",
    "list_models": "models",
    "load_model": "models",
    "ls3d_conv3d": "ops",
}

__all__ = [
    "LS3DConv3d",
    "__version__",
    "create_model",
    "enhance",
    "evaluation",
    "list_models",
    "load_model",
    "ls3d_conv3d",
    "metrics",
    "models",
    "nn",
    "ops",
    "reproduce",
    "training",
    "video",
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"ls3d.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"ls3d.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ls3d' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
