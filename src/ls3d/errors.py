"""The errors that a user's input can cause. Each message is one sentence: the thing, its value, what was expected.

The command line prints the sentence and exits with 2; any other exception is a bug and shows its traceback.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class InputError(ValueError):
    """The input (a file, an argument, a recipe) is not what was expected."""


class MissingExtraError(ImportError):
    """A feature needs a package that is not installed; the message names the pip command."""


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, or say which extra of ls3d brings it.

    Raises:
        MissingExtraError: ``module`` is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{error.name} is not installed, and this needs it: pip install 'ls3d[{extra}]'"
        ) from error
