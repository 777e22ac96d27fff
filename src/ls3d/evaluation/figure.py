"""Figures of Matplotlib, from the extra ``plot``, as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ls3d.errors import InputError, require
from ls3d.files import atomic_write, check_folder_of


def check_figure_path(path: str | os.PathLike[str], argument: str = "plot") -> None:
    """Check, before long work, that a figure can be drawn and written.

    Args:
        path: the file; its suffix, such as ``.svg`` or ``.png``, chooses the format.
        argument: name of the parameter for messages.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        InputError: there is no such folder, or Matplotlib doesn't write this format.
    """
    target = Path(path)
    check_folder_of(target, argument)
    formats = new_figure(1, 1).canvas.get_supported_filetypes()
    if target.suffix.lower().removeprefix(".") not in formats:
        raise InputError(f"{target}: expected a suffix of {', '.join(sorted(formats))}", argument=argument)


def new_figure(width: float, height: float) -> Any:
    """Make a ``matplotlib.figure.Figure`` of this size in inches.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    require("matplotlib", "plot")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format of the suffix, atomically.

    Raises:
        InputError: as for ``check_figure_path``.
    """
    check_figure_path(path)
    target = Path(path)
    with atomic_write(target) as temporary:
        figure.savefig(temporary, format=target.suffix.lower().removeprefix("."))
