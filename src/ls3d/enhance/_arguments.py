"""What can be checked of a call's arguments before PyAV and torch are imported. This module imports nothing heavy."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

from ls3d.errors import InputError
from ls3d.video.names import check_file, container_of

_HIGHEST_FACTOR = 100
_MAX_FACTOR_DENOMINATOR = 100_000
_MAX_RATE = 1000  # frames per second

#: A noise level in [0, 255], or ``"auto"`` to measure it in every frame.
NoiseLevel = float | Literal["auto"]


class UnusableModelError(InputError):
    """The network can't be loaded, whatever the source is."""


class NothingToDoError(InputError):
    """No step is asked for, whatever the source is."""


def check_source_name(path: Path) -> None:
    """Check that there is a file or folder that may be a source.

    Raises:
        FileNotFoundError: there is none.
        InputError: it is an address, a device or a pipe, or empty.
    """
    if not path.is_dir():
        check_file(path)


def check_target_name(path: Path) -> str:
    """Find out the format of an output.

    Returns:
        FFmpeg's name of the format, ``"y4m"`` or ``"images"``.

    Raises:
        FileNotFoundError: there is no folder for it.
        InputError: its suffix is unknown, it is a device or a pipe, or a file where a folder of images is to be.
    """
    container = "images" if not path.suffix or path.is_dir() else container_of(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}")
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{path} is a device or a pipe; expected a file, a folder, or - for standard output")
    if container == "images" and path.is_file():
        raise InputError(f"{path} is a file; expected a name with the suffix of a video, or a folder for images")
    return container


def check_interpolation(factor: Fraction | float | None, fps: Fraction | float | None, slow_motion: bool) -> None:
    """Check the arguments of ``ls3d.enhance.interpolate``, which explains them.

    Raises:
        InputError: one is out of range, or they exclude each other.
    """
    if fps is not None and (factor is not None or slow_motion):
        raise InputError(f"{fps}: can't be combined with a factor or slow motion", argument="fps")
    if factor is not None and not 1 <= factor <= _HIGHEST_FACTOR:
        message = f"{factor}: expected a number from 1 to {_HIGHEST_FACTOR}, such as 2, 2.5 or 5/2"
        raise InputError(message, argument="factor")
    if fps is not None and not 0 < fps <= _MAX_RATE:
        raise InputError(f"{fps}: expected frames per second, more than 0 and at most {_MAX_RATE}", argument="fps")


def exact_factor(factor: Fraction | float) -> Fraction:
    """The fraction that a factor stands for, with a denominator of at most 100,000: 2.5 is 5/2, 2.1 is 21/10."""
    return Fraction(factor).limit_denominator(_MAX_FACTOR_DENOMINATOR)


def read_noise_level(sigma: float | str) -> NoiseLevel:
    """Check a noise level.

    Raises:
        InputError: it is not a number in [0, 255] and not ``"auto"``.
    """
    if sigma == "auto":
        return "auto"
    try:
        level = float(sigma)
    except ValueError as error:
        raise InputError(f"{sigma}: expected a number from 0 to 255, or auto", argument="sigma") from error
    if not 0 <= level <= 255:
        raise InputError(f"{sigma}: expected a number from 0 to 255, or auto", argument="sigma")
    return level
