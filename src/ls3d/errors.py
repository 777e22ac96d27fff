"""The errors that a user's input can cause. Each message is one sentence: the thing, its value, what was expected.

The command line prints the sentence and exits with 2; any other exception is a bug and shows its traceback.
"""

from __future__ import annotations

import importlib
import math
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Self


class InputError(ValueError):
    """The input (a file, an argument, a recipe) is not what was expected.

    Args:
        message: what is wrong, with its value and what was expected. With ``argument`` it continues the argument's
            name: ``InputError("2000: expected at most 1000", argument="fps")`` reads "fps 2000: expected at most 1000".
        argument: name of the Python parameter that has the wrong value. A user interface shows its own word for it
            instead: a flag, a label.
    """

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message if argument is None else f"{argument} {message}")
        self.message = message
        self.argument = argument


class OutputExistsError(InputError):
    """An output exists, and it was not said that it is to be overwritten.

    Args:
        path: the output.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(f"{os.fspath(path)} exists; expected another name, unless it is to be overwritten")
        self.path = path

    def __reduce__(self) -> tuple[type[Self], tuple[str | os.PathLike[str]]]:
        return type(self), (self.path,)  # by default, the whole message would become the path


class TrainingStoppedError(Exception):
    """Training was stopped by a signal; its state is saved.

    Attributes:
        signal: the signal.
    """

    def __init__(self, number: signal.Signals, step: int | None, folder: Path) -> None:
        done = f" after step {step}" if step is not None else ""
        super().__init__(f"stopped by {number.name}{done}; its state is saved in {folder}")
        self.signal = number


class MissingExtraError(ImportError):
    """A feature needs a package that is not installed; the message names the pip command."""


def check_positive(**numbers: float | None) -> None:
    """Check arguments that are finite and more than 0; None stands for one that is not given.

    Raises:
        InputError: one is not; the message names it.
    """
    for argument, value in numbers.items():
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{value:g}: expected a finite number above 0", argument=argument)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its type if it has none: a reason within a sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, or say which extra of ls3d installs it.

    Raises:
        MissingExtraError: ``module`` is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtraError(f"{error.name} is not installed: pip install 'ls3d[{extra}]'") from error
