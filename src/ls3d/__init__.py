"""ls3d: learnable-sampling 3D convolution, the video networks built from it, and tools for real videos.

Every public name is imported on first use, so that ``import ls3d`` itself imports nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ls3d._version import __version__ as __version__

#: Public name to the module that is, or defines, it.
_PUBLIC = {
    "data": "ls3d.data",
    "enhance": "ls3d.enhance",
    "errors": "ls3d.errors",
    "evaluation": "ls3d.evaluation",
    "explain": "ls3d.explain",
    "hosts": "ls3d.hosts",
    "inference": "ls3d.inference",
    "metrics": "ls3d.metrics",
    "models": "ls3d.models",
    "nn": "ls3d.nn",
    "ops": "ls3d.ops",
    "reproduce": "ls3d.reproduce",
    "training": "ls3d.training",
    "video": "ls3d.video",
    "LS3DConv3d": "ls3d.nn",
    "create_model": "ls3d.models",
    "keep_freed_memory": "ls3d.allocator",
    "list_models": "ls3d.models",
    "load_model": "ls3d.models",
    "ls3d_conv3d": "ls3d.ops",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:  # the names of _PUBLIC for type checkers; tests/test_imports.py compares the two
    from ls3d import data as data
    from ls3d import enhance as enhance
    from ls3d import errors as errors
    from ls3d import evaluation as evaluation
    from ls3d import explain as explain
    from ls3d import hosts as hosts
    from ls3d import inference as inference
    from ls3d import metrics as metrics
    from ls3d import models as models
    from ls3d import nn as nn
    from ls3d import ops as ops
    from ls3d import reproduce as reproduce
    from ls3d import training as training
    from ls3d import video as video
    from ls3d.allocator import keep_freed_memory as keep_freed_memory
    from ls3d.models import create_model as create_model
    from ls3d.models import list_models as list_models
    from ls3d.models import load_model as load_model
    from ls3d.nn import LS3DConv3d as LS3DConv3d
    from ls3d.ops import ls3d_conv3d as ls3d_conv3d


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'ls3d' has no attribute {name!r}")
    home = _PUBLIC[name]
    module = importlib.import_module(home)
    return module if home == f"ls3d.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
