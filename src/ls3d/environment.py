"""The software that a measured number depends on."""

from __future__ import annotations

import platform
from importlib.metadata import version

from ls3d._version import __version__


def versions(*packages: str) -> dict[str, str]:
    """Versions of ls3d, Python, torch, NumPy and PyAV, and of further ``packages``, by name.

    Raises:
        PackageNotFoundError: one of ``packages`` is not installed.
    """
    installed = {name: version(name) for name in ("torch", "numpy", "av", *packages)}
    return {"ls3d": __version__, "python": platform.python_version(), **installed}
