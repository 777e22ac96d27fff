"""The folder of a training: its lock, and the temporary files that killed trainings have left in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ls3d.errors import InputError
from ls3d.files import exclusive, remove_leftovers
from ls3d.training.state import NEWEST, remove_states

WEIGHTS = "weights.safetensors"

#: The weights file of the training before the last restart.
PREVIOUS_WEIGHTS = "weights.previous.safetensors"

_LOCK = "lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create the folder, and keep other trainings out of it. Deletes it if it is empty at the end.

    Raises:
        InputError: another process is training there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(exclusive(folder / _LOCK, delete=True))
            except BlockingIOError as error:
                raise InputError(f"{folder}: another process is training in this folder") from error
            for name in (NEWEST, WEIGHTS):
                remove_leftovers(folder / name)
            yield
    finally:
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()


def start_over(folder: Path) -> None:
    """Delete the states, and rename the weights file, so that it doesn't pass for the result of the next training."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(folder / WEIGHTS, folder / PREVIOUS_WEIGHTS)
    remove_states(folder)
