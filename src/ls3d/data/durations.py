"""Durations of video files, kept in the user's cache folder so that a second start reads no video."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ls3d.errors import InputError
from ls3d.files import cache_folder, write_json

log = logging.getLogger(__name__)


def read_durations(paths: Sequence[Path]) -> tuple[dict[Path, float], dict[Path, str]]:
    """Read the durations of video files.

    A file whose size and modification time are in the index is not opened. The index is one JSON file for each set of
    paths, ``$XDG_CACHE_HOME/ls3d/durations/*.json``. A file that can't be read is tried again next time, as the reason
    may pass (a network, permissions).

    Returns:
        Seconds by path, and the reasons by path for the files that can't be read.
    """
    index_file = _index_file(paths)
    known = _load(index_file)
    durations: dict[Path, float] = {}
    reasons: dict[Path, str] = {}
    keys: dict[Path, str] = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            reasons[path] = error.strerror or "it can't be read"
            continue
        keys[path] = f"{path.absolute()}|{status.st_size}|{status.st_mtime_ns}"
    new = [path for path, key in keys.items() if key not in known]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        read = dict(zip(new, threads.map(_read, new), strict=True))
    for path, key in keys.items():
        found = read[path] if path in read else known[key]
        if isinstance(found, float):
            durations[path] = found
        else:
            reasons[path] = found
    if durations.keys() & read.keys():
        _save(index_file, {keys[path]: duration for path, duration in durations.items()})
    return durations, reasons


def _read(path: Path) -> float | str:
    """The duration, or why there is none."""
    from ls3d.video import read_duration

    try:
        return read_duration(path)
    except InputError as error:
        return str(error).removeprefix(f"{path} ")
    except OSError as error:
        return error.strerror or "it can't be read"


def _index_file(paths: Sequence[Path]) -> Path:
    text = "\n".join(str(path.absolute()) for path in paths)
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
    return cache_folder() / "durations" / f"{digest}.json"


def _load(file: Path) -> dict[str, float]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, float)}


def _save(file: Path, content: dict[str, float]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, content, indent=None)
    except OSError as error:
        log.warning("the durations of the videos can't be kept in %s (%s)", file, error.strerror)
