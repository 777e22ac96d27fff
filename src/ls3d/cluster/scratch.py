"""Where a machine keeps copies of files at URLs."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from ls3d.errors import InputError
from ls3d.files import is_own_folder


def given_scratch() -> Path | None:
    """The folder for copies of files at URLs that ``$LS3D_SCRATCH`` names, if it is set."""
    name = os.environ.get("LS3D_SCRATCH")
    return Path(name) if name else None


def private_scratch() -> Path:
    """A folder for such copies in the temporary folder of this machine, which only this user can read.

    Raises:
        InputError: its name is taken by another user, who could read and replace the copies.
    """
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""  # on Windows, every user has another temporary folder
    folder = Path(tempfile.gettempdir()) / f"ls3d{user}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not is_own_folder(folder):
        raise InputError(f"{folder} is not a folder of this user; expected another one in LS3D_SCRATCH")
    folder.chmod(0o700)
    return folder
