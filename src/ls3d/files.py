"""Files that are written completely or not at all, locks between processes, and digests of content."""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import hashlib
import json
import logging
import os
import shutil
import stat
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ls3d.errors import InputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

log = logging.getLogger(__name__)

#: Files of more bytes than this in all are compared by samples: reading all of them would take minutes.
_COMPLETE_DIGEST = 1 << 30
_BLOCK = 1 << 16  # bytes of a sample
_BLOCKS = 256  # number of samples of a single file; several files share them
_FEWEST_BLOCKS = 3

#: Descriptors of the locks that this process holds.
_held: set[int] = set()


def cache_folder() -> Path:
    """The user's folder for what can be computed again, ``$XDG_CACHE_HOME/ls3d``; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ls3d"


def is_own_folder(path: str | os.PathLike[str]) -> bool:
    """Whether this is a folder of this user, not a link to one. On Windows, folders are not compared with users."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())


def check_folder_of(path: str | os.PathLike[str], argument: str | None = None) -> None:
    """Check, before long work, that the folder of a file to write exists.

    Args:
        path: the file.
        argument: name of the parameter for messages.

    Raises:
        InputError: it doesn't.
    """
    folder = Path(path).parent
    if not folder.is_dir():
        raise InputError(f"{os.fspath(path)} can't be written: there is no folder {folder}", argument=argument)


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to ``path``, and rename it to ``path`` when the block succeeds.

    When the block raises, the temporary file is deleted and ``path`` stays as it was::

        with atomic_write("scores.json") as temporary:
            temporary.write_text(text)

    Args:
        path: the file to write.
        durable: flush the file to disk before it is renamed, so that it also survives a power failure.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], content: Any, *, indent: int | None = 2, durable: bool = False) -> None:
    """Write a JSON file in UTF-8, as ``atomic_write`` does.

    Args:
        path: the file to write.
        content: what ``json.dumps`` takes.
        indent: of each level, in columns; None for a single line.
        durable: as for ``atomic_write``.
    """
    with atomic_write(path, durable=durable) as temporary:
        temporary.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")


def write_new(path: str | os.PathLike[str], text: str) -> bool:
    """Write a file unless there is one, complete from the beginning, whoever else writes it at the same time.

    Args:
        path: the file.
        text: its content; is flushed to disk.

    Returns:
        Whether this call has written it.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            if target.exists():
                return False
            os.replace(temporary, target)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def replace_folder(temporary: Path, target: Path) -> None:
    """Rename a finished folder of files to ``target``: a new name, an empty folder, or a link to one or to nothing.

    An empty folder that can't be replaced, such as a mount point, gets the files one by one, each of them complete.

    Raises:
        OSError: a file can't be moved. Those that are in the folder by then stay there.
    """
    if target.is_symlink() and not target.exists():
        target.unlink()
    folder = target.resolve()
    if sys.platform == "win32" and folder.is_dir():  # there, no folder can be replaced
        with contextlib.suppress(OSError):
            folder.rmdir()
    try:
        os.replace(temporary, folder)
    except OSError:
        if not folder.is_dir() or any(folder.iterdir()):
            raise
        _move_files(temporary, folder)


def _move_files(source: Path, folder: Path) -> None:
    """Move the files of a folder into an empty one, also if that is on another file system."""
    copies = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        copies.mkdir()
        for path in source.iterdir():
            shutil.copy2(path, copies / path.name)
        for path in sorted(copies.iterdir()):
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(copies, ignore_errors=True)
    shutil.rmtree(source)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Delete the temporary files of ``atomic_write`` for ``path`` that killed processes have left behind.

    Only a process that holds a lock on ``path`` may do so.
    """
    target = Path(path)
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        leftover.unlink(missing_ok=True)


@contextmanager
def exclusive(path: str | os.PathLike[str], delete: bool = False, shared: bool = False) -> Iterator[None]:
    """Hold a lock on a file, which is created if there is none. The lock ends with the process, however that ends.

    On file systems without locks, nothing is locked. Forked processes, such as those that load samples, don't hold the
    lock: they may end later than this one.

    Args:
        path: the file.
        delete: delete the file at the end.
        shared: several processes may hold the lock in this way at the same time; nothing is locked on Windows.

    Raises:
        BlockingIOError: another process, or another thread of this one, holds it.
    """
    descriptor = _open_locked(path, shared)
    _held.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held:  # not in a forked process
            if delete:
                with contextlib.suppress(OSError):
                    os.unlink(path)
            _held.remove(descriptor)
            os.close(descriptor)


def _close_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_close_in_child)


def _open_locked(path: str | os.PathLike[str], shared: bool) -> int:
    """Open and lock a file; again if the process that held the lock has deleted the file meanwhile."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if _is_current(descriptor, path, shared):
                return descriptor
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_current(descriptor: int, path: str | os.PathLike[str], shared: bool) -> bool:
    """Lock an open file; whether ``path`` is still this file."""
    try:
        if sys.platform != "win32":
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        elif not shared:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise BlockingIOError(error.errno, "another process is using it", os.fspath(path)) from error
        log.debug("%s can't be locked: %s", os.fspath(path), error)
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def fingerprint(paths: Sequence[Path]) -> dict[str, Any]:
    """What changes with the content, the names or the number of files; a dictionary for JSON.

    Up to 1 GiB in all, every byte counts (``sha256``). Beyond that, sizes, modification times and samples of 64 KiB do
    (``sha256_of_samples``): then a change that keeps size and time of a file is noticed only where a sample is.

    Raises:
        OSError: a file can't be read.
    """
    status = [path.stat() for path in paths]
    size = sum(each.st_size for each in status)
    complete = size <= _COMPLETE_DIGEST
    blocks = None if complete else max(_FEWEST_BLOCKS, _BLOCKS // len(paths))
    # The key of the cache holds the change time, which nobody can set.
    keys = tuple((os.fspath(p), s.st_size, s.st_mtime_ns, s.st_ctime_ns) for p, s in zip(paths, status, strict=True))
    return {"files": len(paths), "size": size, "sha256" if complete else "sha256_of_samples": _digest(keys, blocks)}


@functools.lru_cache(maxsize=8)
def _digest(files: tuple[tuple[str, int, int, int], ...], blocks: int | None) -> str:
    """SHA-256 of names and content of files, or of ``blocks`` evenly spaced samples of each."""
    digest = hashlib.sha256()
    for path, size, modified, _ in files:
        name = os.path.basename(path)
        digest.update(f"{name}|{size}|{'' if blocks is None else modified}|".encode("utf-8", "surrogateescape"))
        with open(path, "rb") as file:
            if blocks is None or size <= blocks * _BLOCK:
                digest.update(hashlib.file_digest(file, "sha256").digest())
                continue
            for index in range(blocks):
                file.seek((size - _BLOCK) * index // (blocks - 1))
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()
