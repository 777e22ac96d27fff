"""The temporary folder of a server, which is deleted at its end, or after a crash when the next server starts."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ls3d.files import exclusive, is_own_folder

log = logging.getLogger(__name__)

_PREFIX = "ls3d-serve-"
_LOCK = "lock"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder that only this user can read, and delete those that crashed servers have left behind.

    It is in the system's folder for temporary files (``TMPDIR``).
    """
    _remove_leftovers()
    with ExitStack() as stack:
        folder = _locked_folder(stack)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(stack: ExitStack) -> Path:
    """A new folder, and a lock on it; another one if a server that starts now has taken it for a leftover."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            stack.enter_context(exclusive(folder / _LOCK))
            return folder
        except (FileNotFoundError, BlockingIOError):
            log.debug("%s was deleted", folder)


def _remove_leftovers() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if not is_own_folder(folder):
            continue
        try:
            with exclusive(folder / _LOCK):
                log.info("deleting %s, which a crashed server has left behind", folder)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            log.debug("%s is in use", folder)
